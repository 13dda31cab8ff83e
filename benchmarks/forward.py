"""Forward passes of ViT-B networks: ours beside a plain one that materialises its attention, same weights.

    python benchmarks/forward.py [--runs 15] [--threads 1] [--batch 1]

Float32 on the CPU, network only, random weights (they change no times). The plain version is written as the paper's
equations read: softmax of all scores, then the products, batch norms on their own, the rows of the deciding template
token cut from the full matrix. All networks run in turn within each round, so that a busy moment of the machine
falls on all of them, and are timed by the wall clock and by the processor time of this process, which other
processes disturb less; outputs are asserted equal before anything is timed. Writes ``benchmarks/results/forward.json``
and ``.md`` and prints the table.

What to expect: linear layers and convolutions are nine tenths of a pass and the same in both, so the most that a
better attention can gain with elimination at 256 pixels is about a fifth.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from ostrack.config import PRESETS
from ostrack.machine import this_machine
from ostrack.model import OSTrack
from ostrack.model.block import Block
from ostrack.profile import profile

RESULTS = Path(__file__).resolve().parent / "results"
CASES = ("vitb_256", "vitb_256_ce", "vitb_384", "vitb_384_ce")


class Plain(nn.Module):
    """The same network by the book, on the modules of ours (so with its weights)."""

    def __init__(self, net: OSTrack) -> None:
        super().__init__()
        self.net = net
        config = net.config
        self.ratios = dict(zip(config.elimination_layers, config.keep_ratios, strict=True))
        grid = config.template_grid
        self.centre = (grid - 1) // 2 * (grid + 1)

    def forward(self, template: Tensor, search: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Score map, boxes, and what each layer removed."""
        vit, config = self.net.backbone, self.net.config
        z = vit.patch_embed.proj(template).flatten(2).transpose(1, 2) + vit.pos_embed_z
        x = vit.patch_embed.proj(search).flatten(2).transpose(1, 2) + vit.pos_embed_x
        batch, count, dim = z.shape
        heads = config.num_heads
        tokens = torch.cat([z, x], 1)
        places = torch.arange(x.shape[1]).repeat(batch, 1)
        removed: list[Tensor] = []
        for layer, block in enumerate(cast(Iterable[Block], vit.blocks)):
            normed = block.norm1(tokens)
            qkv = block.attn.qkv(normed).reshape(batch, -1, 3, heads, dim // heads).permute(2, 0, 3, 1, 4)
            q, k, v = qkv[0], qkv[1], qkv[2]
            attention = (q @ k.transpose(-2, -1)) * (dim // heads) ** -0.5
            attention = attention.softmax(dim=-1)
            mixed = (attention @ v).transpose(1, 2).reshape(batch, -1, dim)
            tokens = tokens + block.attn.proj(mixed)
            if layer in self.ratios:
                score = attention[:, :, :count, count:][:, :, self.centre].mean(1)
                keep = math.ceil(self.ratios[layer] * score.shape[1])
                order = score.argsort(dim=1, descending=True, stable=True)
                removed.append(places.gather(1, order[:, keep:]))
                places = places.gather(1, order[:, :keep])
                scene = tokens[:, count:].gather(1, order[:, :keep, None].expand(-1, -1, dim))
                tokens = torch.cat([tokens[:, :count], scene], 1)
            hidden = torch.nn.functional.gelu(block.mlp.fc1(block.norm2(tokens)))
            tokens = tokens + block.mlp.fc2(hidden)
        tokens = vit.norm(tokens)
        scene = torch.zeros(batch, x.shape[1], dim)
        scene = scene.scatter(1, places[..., None].expand(-1, -1, dim), tokens[:, count:])
        side = config.search_grid
        planes = scene.transpose(1, 2).reshape(batch, dim, side, side).contiguous()
        maps = []
        for name in ("ctr", "size", "offset"):
            out = planes
            for stage in range(1, 6):
                out = getattr(self.net.box_head, f"conv{stage}_{name}")(out)
            maps.append(out)
        score_map, size = (m.sigmoid().clamp(1e-4, 1 - 1e-4) for m in maps[:2])
        peak = score_map.flatten(1).argmax(1)
        at = peak[:, None, None].expand(-1, 2, 1)
        size, offset = size.flatten(2).gather(2, at)[..., 0], maps[2].flatten(2).gather(2, at)[..., 0]
        centre = (torch.stack([peak % side, peak // side], 1) + offset) / side
        return score_map, torch.cat([centre, size], 1), removed


def build(preset: str) -> tuple[OSTrack, Plain]:
    """Both networks with the same random weights, large enough that the attention is not uniform."""
    torch.manual_seed(0)
    net = OSTrack(PRESETS[preset]).eval()
    with torch.no_grad():
        for block in cast(Iterable[Block], net.backbone.blocks):
            block.attn.qkv.weight.mul_(3)
    return net, Plain(net).eval()


def assert_equal(net: OSTrack, plain: Plain, template: Tensor, search: Tensor) -> None:
    """Same maps, boxes and eliminated candidates."""
    ours, theirs = net(template, search), plain(template, search)
    for a, b in zip(ours.eliminated, theirs[2], strict=True):
        assert torch.equal(a.sort(1).values, b.sort(1).values)
    torch.testing.assert_close(ours.score_map, theirs[0], rtol=0, atol=1e-4)
    torch.testing.assert_close(ours.boxes, theirs[1], rtol=0, atol=1e-4)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description="Time our forward pass beside a plain one.")
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    runs: dict[tuple[str, str], tuple[nn.Module, Tensor, Tensor]] = {}
    with torch.inference_mode():
        for preset in CASES:
            net, plain = build(preset)
            config = net.config
            template = torch.randn(arguments.batch, 3, config.template_size, config.template_size)
            search = torch.randn(arguments.batch, 3, config.search_size, config.search_size)
            assert_equal(net, plain, template, search)
            runs[preset, "ours"] = (net, template, search)
            runs[preset, "plain"] = (plain, template, search)
        wall: dict[tuple[str, str], list[float]] = {key: [] for key in runs}
        cpu: dict[tuple[str, str], list[float]] = {key: [] for key in runs}
        for round_ in range(arguments.runs + 1):
            for key, (module, template, search) in runs.items():
                start, start_cpu = time.perf_counter(), time.process_time()
                module(template, search)
                if round_:
                    wall[key].append(1e3 * (time.perf_counter() - start))
                    cpu[key].append(1e3 * (time.process_time() - start_cpu))
    rows = []
    for preset in CASES:
        row: dict[str, float | str] = {"network": preset, "gmacs": profile(PRESETS[preset]).full_macs / 1e9}
        for name, times in (("wall", wall), ("cpu", cpu)):
            for kind in ("ours", "plain"):
                row[f"{kind}_{name}_ms"] = statistics.median(times[preset, kind])
            ratios = (plain / ours for ours, plain in zip(times[preset, "ours"], times[preset, "plain"], strict=True))
            row[f"{name}_ratio"] = statistics.median(ratios)
        rows.append(row)
    setting = {"machine": this_machine().text(), **vars(arguments)}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "forward.json").write_text(json.dumps({"setting": setting, "rows": rows}, indent=1) + "\n")
    table = markdown(rows, setting)
    (RESULTS / "forward.md").write_text(table)
    print(table)


def markdown(rows: list[dict[str, Any]], setting: dict[str, object]) -> str:
    """The table with what it was measured on."""
    lines = [
        "| network | G MACs | ours, ms | plain, ms | plain / ours | ours, CPU ms | plain, CPU ms | plain / ours |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        lines.append(
            "| {network} | {gmacs:.1f} | {ours_wall_ms:.0f} | {plain_wall_ms:.0f} | {wall_ratio:.2f} "
            "| {ours_cpu_ms:.0f} | {plain_cpu_ms:.0f} | {cpu_ratio:.2f} |".format(**row)
        )
    note = (
        "Medians of {runs} interleaved runs, batch {batch}, float32, {threads} threads. {machine}. "
        "Ratios are medians of the runs' ratios. Network only. Written by `python benchmarks/forward.py`."
    ).format(**setting)
    return "\n".join([*lines, "", note, ""])


if __name__ == "__main__":
    main()
