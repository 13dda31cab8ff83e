"""Put a trained network into the package: safetensors and ONNX in 16-bit storage, the catalogue, the model card.

    python tools/package_network.py WEIGHTS NAME --card CARD.md [--score "name=value" ...] [--default]
                                    [--calibrate FOLDER ...] [--int8-score "name=value" ...]

Both files are read back and their sha256 goes into ``catalogue.json``. An entry of the same name is replaced; with
``--default`` the entry comes first, which makes it the network of ``Tracker()``. ``--onnx-only`` leaves out the torch
weights: an index takes no package over 100 MB. With ``--calibrate`` (labelled clips
that no figure is measured on) the network also goes in as ``NAME-int8``, if that is faster in onnxruntime.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

from ostrack import zoo
from ostrack.export import export_onnx, quantize
from ostrack.export_crops import labelled, labelled_clips
from ostrack.model.checkpoint import load, read_metadata, save
from ostrack.network import Network

LICENCE = (
    "MIT for the weights as far as the authors' rights go; trained in part on pictures for research use only, "
    "from a backbone under Apache-2.0 and MIT"
)


def digest(path: Path) -> zoo.WeightFile:
    """What the catalogue says of a file."""
    blob = path.read_bytes()
    return zoo.WeightFile(file=path.name, sha256=hashlib.sha256(blob).hexdigest(), bytes=len(blob))


def without_folders(value: Any) -> Any:
    """The same document with absolute paths cut to their last part: where files lay is nobody's business."""
    if isinstance(value, dict):
        return {key: without_folders(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_folders(item) for item in value]
    return Path(value).name if isinstance(value, str) and value.startswith("/") else value


def package(
    weights: Path,
    name: str,
    card: Path,
    scores: dict[str, float],
    default: bool,
    folder: Path,
    *,
    trainable: bool = True,
) -> zoo.Entry:
    """Write the files of one network and its entry.

    Args:
        weights: A network of ours.
        name: What users call it by; also the stem of its files.
        card: Markdown model card, copied beside the weights.
        scores: Measured figures by name.
        default: Put the entry first.
        folder: Folder of the catalogue.
        trainable: Package the torch weights too.

    Returns:
        The entry.
    """
    net = load(weights)
    extra = {key: value for key, value in read_metadata(weights).items() if key not in ("format", "config")}
    extra = without_folders(extra)
    tensors, graph = folder / f"{name}.safetensors", folder / f"{name}.onnx"
    save(tensors, net, extra, half=True)
    tensors.chmod(0o644)
    # Exported from the stored weights, so that both files are the same network to the last bit.
    print(export_onnx(tensors, graph, half_storage=True, extra=extra).text())
    text = card.read_text(encoding="utf-8")
    if card.resolve() != (folder / f"{name}.md").resolve():
        shutil.copyfile(card, folder / f"{name}.md")
    summary = next(line for line in text.splitlines() if line and not line.startswith("#"))
    kept = digest(tensors) if trainable else None
    if kept is None:
        tensors.unlink()
    entry = zoo.Entry(name=name, onnx=digest(graph), safetensors=kept, licence=LICENCE, card=summary, scores=scores)
    others = [old for old in zoo.Catalogue.read(folder).networks if old.name != name]
    networks = [entry, *others] if default else [*others, entry]
    write_catalogue(folder, networks)
    return entry


def package_int8(name: str, calibrate: list[Path], pairs: int, scores: dict[str, float], folder: Path) -> bool:
    """Write the packaged network of a name once more, in int8, as an entry of its own behind it.

    Args:
        name: A network packaged before.
        calibrate: Folders of labelled clips.
        pairs: Pairs of crops to calibrate and compare on.
        scores: Measured figures by name.
        folder: Folder of the catalogue.

    Returns:
        Whether it is faster and was kept.
    """
    source, out = folder / f"{name}.onnx", folder / f"{name}-int8.onnx"
    clips = [clip for place in calibrate for clip in labelled_clips(place)]
    print(quantize(source, out, labelled(Network.load(source, "onnx").config, clips, pairs)).text())
    before, after = (milliseconds(Network.load(path, "onnx", threads=1)) for path in (source, out))
    print(f"  one thread         {before:.1f} ms in float32, {after:.1f} ms in int8")
    if after >= before:
        out.unlink()
        return False
    out.chmod(0o644)
    whole = zoo.Catalogue.read(folder).entry(name)
    entry = whole.model_copy(
        update={
            "name": out.stem,
            "onnx": digest(out),
            "safetensors": None,
            "scores": scores,
            "card": f"{name} in int8, for processors that multiply it fast (VNNI, AMX). {whole.card}",
        }
    )
    others = [old for old in zoo.Catalogue.read(folder).networks if old.name != entry.name]
    place = next(index for index, old in enumerate(others) if old.name == name) + 1
    write_catalogue(folder, [*others[:place], entry, *others[place:]])
    return True


def milliseconds(network: Network, runs: int = 30) -> float:
    """Processor time of a search, the best of several runs: other programs do not count."""
    config = network.config
    template = np.zeros((1, 3, config.template_size, config.template_size), np.float32)
    search = np.random.default_rng(0).standard_normal((1, 3, config.search_size, config.search_size), np.float32)
    tokens = network.embed(template, np.array([[0.5, 0.5, 0.5, 0.5]], np.float32))
    times = []
    for _ in range(runs):
        start = time.process_time()
        network.search(tokens, search)
        times.append(1e3 * (time.process_time() - start))
    return min(times)


def write_catalogue(folder: Path, networks: list[zoo.Entry]) -> None:
    """Write ``catalogue.json``."""
    catalogue = zoo.Catalogue(networks=tuple(networks))
    (folder / "catalogue.json").write_text(catalogue.model_dump_json(indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("name")
    parser.add_argument("--card", type=Path, required=True)
    parser.add_argument("--score", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--default", action="store_true")
    parser.add_argument("--onnx-only", action="store_true")
    parser.add_argument("--calibrate", action="append", default=[], type=Path, metavar="FOLDER")
    parser.add_argument("--pairs", type=int, default=96)
    parser.add_argument("--int8-score", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--folder", type=Path, default=zoo.FOLDER)
    options = parser.parse_args()
    scores, int8_scores = (
        {key: float(value) for key, value in (item.rsplit("=", 1) for item in given)}
        for given in (options.score, options.int8_score)
    )
    entry = package(
        options.weights, options.name, options.card, scores, options.default, options.folder,
        trainable=not options.onnx_only,
    )  # fmt: skip
    print(json.dumps(entry.model_dump(), indent=2))
    if options.calibrate and not package_int8(
        options.name, options.calibrate, options.pairs, int8_scores, options.folder
    ):
        print("not packaged in int8: it is no faster on this machine")


if __name__ == "__main__":
    main()
