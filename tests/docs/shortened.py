"""What stands in for commands that would take hours, need a GPU or want a camera, page by page.

Each pair is a piece of a block marked ``short`` and what is run in its place. ``CAMERA`` becomes the address of a
camera that plays a dozen frames.
"""

from __future__ import annotations

TINY_RUN = (
    "model.network=tiny.safetensors run.epochs=1 run.pairs_per_epoch=8 run.batch=4 run.workers=0 run.device=cpu "
    "run.threads=1 run.validation_pairs=2 run.validation_clips=1"
)

SHORTENED: dict[str, list[tuple[str, str]]] = {
    "README.md": [
        ("ostrack train small_d6", "ostrack train --show small_d6"),
    ],
    "docs/own-data.md": [
        ("ostrack train finetune data=my_clips", f"ostrack train finetune data=my_clips {TINY_RUN}"),
    ],
    "docs/training.md": [
        ("ostrack train finetune data=my_clips", f"ostrack train finetune data=my_clips {TINY_RUN}"),
        ("distill.network=default", "distill.network=tiny.safetensors"),
        ("torchrun --nproc-per-node 4 -m ostrack train", "torchrun --nproc-per-node 1 -m ostrack train --show"),
        ("ostrack_256_ce data=DATASETS model.backbone=mae", "--show ostrack_256_ce data=DATASETS model.backbone=mae"),
        ("DATA SEQUENCES --seeds 3", "--help"),
        ("RECIPE data=FOLDER", "--help"),
    ],
    "docs/explain.md": [
        ("sweep sequences", "sweep sequences --network tiny.safetensors --frames 2 --ratios 0.5,1"),
    ],
    "docs/live.md": [
        ("track 0 ", "track CAMERA --reconnect 0 "),
        ("track rtsp://camera.local/stream ", "track CAMERA --reconnect 0 "),
        ("--save tracks.csv", "--save tracks.csv || test $? = 1"),
        ("--save tracks.jsonl", "--save tracks.jsonl || test $? = 1"),
        ('rtsp://camera.local/stream"', 'CAMERA"'),
        ("reconnect_s=60", "reconnect_s=0"),
    ],
    "docs/runtimes.md": [
        ("net.safetensors", "tiny.safetensors"),
        ("export net.onnx", "export float.onnx"),
        ("--calibrate", "--pairs 8 --calibrate"),
    ],
    "docs/evaluation.md": [
        ("ostrack evaluate datasets/LaSOT --tracker my.onnx", "ostrack evaluate clips --tracker my.onnx"),
        ("datasets/OTB100", "datasets/DTB70"),
        ("results/otb100", "results/dtb70"),
        ("vot evaluate mine", "grep mine trackers.ini"),
    ],
}
