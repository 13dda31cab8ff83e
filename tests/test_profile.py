"""Costs against the published figures, and against the layers of the torch network."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ostrack.config import Head
from ostrack.model import PRESETS, OSTrack, OSTrackConfig
from ostrack.profile import Product, profile


@pytest.mark.parametrize(("preset", "paper", "counted", "full"), [
    ("vitb_256", 29.0, 29.02, 30.91), ("vitb_256_ce", 21.5, 21.50, 22.64),
    ("vitb_384", 65.3, 65.30, 74.86), ("vitb_384_ce", 48.3, 48.32, 54.09),
])  # fmt: skip
def test_the_paper_counts(preset: str, paper: float, counted: float, full: float) -> None:
    found = profile(PRESETS[preset])
    assert round(found.macs / 1e9, 1) == paper
    assert found.macs / 1e9 == pytest.approx(counted, abs=0.006)
    assert found.full_macs / 1e9 == pytest.approx(full, abs=0.006)


@pytest.mark.parametrize(("preset", "official"), [("vitb_256_ce", 92_518_533), ("vitb_384_ce", 92_825_733)])
def test_the_official_parameters_less_those_never_used(preset: str, official: int) -> None:
    found = profile(PRESETS[preset])
    assert found.parameters == official - 152_064
    assert sum(layer.parameters for layer in found.layers) == found.parameters


def test_tokens_left_after_each_layer() -> None:
    rows = {layer.name: layer for layer in profile(PRESETS["vitb_256_ce"]).layers}
    assert [rows[f"block {i}"].search_tokens_left for i in (2, 3, 6, 9, 11)] == [256, 180, 126, 89, 89]
    rows = {layer.name: layer for layer in profile(PRESETS["vitb_384_ce"]).layers}
    assert [rows[f"block {i}"].search_tokens_left for i in (3, 6, 9)] == [404, 283, 199]
    assert (rows["patch embed"].macs + rows["center head"].macs) / 1e9 == pytest.approx(4.15, abs=0.005)


class Counter:
    """Multiply-accumulates of linear and convolution layers as they run."""

    def __init__(self, net: nn.Module) -> None:
        self.macs = 0
        for module in net.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                module.register_forward_hook(self.count)

    def count(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(module, nn.Linear):
            self.macs += output.numel() * module.in_features
        elif isinstance(module, nn.Conv2d):
            self.macs += output.numel() * module.weight[0].numel()


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(["center", "corner", "mlp"]), st.lists(st.floats(0.1, 1.0), max_size=3), st.sampled_from([4, 8]),
    st.sampled_from([2.0, 4.0]),
)  # fmt: skip
def test_counts_are_what_the_layers_do(head: Head, ratios: list[float], patch: int, mlp: float) -> None:
    config = OSTrackConfig(
        template_size=16, search_size=32, patch_size=patch, embed_dim=24, depth=3, num_heads=3, head_channels=16,
        head=head, mlp_ratio=mlp, elimination_layers=tuple(range(len(ratios))), keep_ratios=tuple(ratios),
    )  # fmt: skip
    net = OSTrack(config).eval()
    counter = Counter(net)
    assert profile(net).parameters == sum(parameter.numel() for parameter in net.parameters())
    with torch.inference_mode():
        net(torch.randn(1, 3, 16, 16), torch.randn(1, 3, 32, 32))
    assert profile(net).macs == profile(config).macs == counter.macs


@pytest.mark.parametrize("preset", PRESETS)
def test_every_parameter_of_a_preset_is_counted(preset: str) -> None:
    with torch.device("meta"):
        net = OSTrack(PRESETS[preset])
    assert profile(net).parameters == sum(parameter.numel() for parameter in net.parameters())


def test_the_table_adds_up() -> None:
    found = profile(PRESETS["vitb_256_ce"])
    text = found.text()
    assert "64 + 256 -> 180" in text
    assert text.splitlines()[-1].split() == ["total", "92.37", "21.50", "22.64"]
    assert len(text.splitlines()) == 1 + len(found.layers) + 1
    read = json.loads(json.dumps(found.to_dict()))
    assert read["macs"] == found.macs
    assert read["layers"][4]["search_tokens_left"] == 180


def test_counting_needs_no_torch() -> None:
    code = (
        "import sys; from ostrack.config import PRESETS; from ostrack.profile import profile; "
        "print(profile(PRESETS['vitb_256_ce']).macs, 'torch' in sys.modules, 'onnxruntime' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["21497946112", "False", "False"]


def test_a_layer_is_the_sum_of_its_products() -> None:
    layer = profile(PRESETS["vitb_256_ce"]).layers[4]
    sizes = {product.name: (product.rows, product.inner, product.columns, product.count) for product in layer.products}
    # Attention sees all 320 tokens of the eliminating layer, its MLP the 244 that are left.
    assert sizes["query . key"] == (320, 64, 320, 12)
    assert sizes["mlp in"] == (244, 768, 3072, 1)
    assert layer.macs + layer.attention_macs == sum(math.prod(size) for size in sizes.values())
    assert Product("x", 2, 3, 5, 7).macs == 210
