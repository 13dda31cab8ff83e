"""What a network costs, from its configuration alone: parameters, tokens left, multiply-accumulates layer by layer."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from ostrack.config import OSTrackConfig

__all__ = ["Configured", "Layer", "Product", "Profile", "profile"]


class Configured(Protocol):
    """Anything that knows its configuration: a loaded network, a torch module."""

    @property
    def config(self) -> OSTrackConfig:
        """Architecture."""


@dataclass(frozen=True)
class Product:
    """A matrix product ``(rows, inner) x (inner, columns)``, ``count`` times over; a convolution as one of its patches.

    Attributes:
        name: What it computes.
        rows: Tokens or places.
        inner: Summed over.
        columns: Outputs of each row.
        count: How many of this size: heads of the attention, else 1.
        attention: Whether both sides depend on the input, as in the products inside the attention.
    """

    name: str
    rows: int
    inner: int
    columns: int
    count: int = 1
    attention: bool = False

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return self.count * self.rows * self.inner * self.columns


@dataclass(frozen=True)
class Layer:
    """One row of a profile; counts are for one template and one search crop.

    Attributes:
        name: What it is.
        template_tokens: Template tokens that enter it.
        search_tokens: Search tokens that enter it.
        search_tokens_left: Search tokens that leave it.
        parameters: Its parameters.
        products: What it multiplies.
    """

    name: str
    template_tokens: int
    search_tokens: int
    search_tokens_left: int
    parameters: int
    products: tuple[Product, ...] = ()

    @property
    def macs(self) -> int:
        """Multiply-accumulates of its linear and convolution layers."""
        return sum(product.macs for product in self.products if not product.attention)

    @property
    def attention_macs(self) -> int:
        """Multiply-accumulates of its products of queries with keys, and of attention with values."""
        return sum(product.macs for product in self.products if product.attention)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values = asdict(self)
        del values["products"]
        return values | {"macs": self.macs, "attention_macs": self.attention_macs}


@dataclass(frozen=True)
class Profile:
    """Cost of one forward pass on one template and one search crop.

    Attributes:
        config: The network.
        layers: Patch embedding, blocks, norm, head.
    """

    config: OSTrackConfig
    layers: tuple[Layer, ...]

    @property
    def parameters(self) -> int:
        """All parameters."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def macs(self) -> int:
        """By the paper's count: linear and convolution layers only."""
        return sum(layer.macs for layer in self.layers)

    @property
    def full_macs(self) -> int:
        """With the products inside the attention."""
        return self.macs + sum(layer.attention_macs for layer in self.layers)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        rows = [layer.to_dict() for layer in self.layers]
        return {"parameters": self.parameters, "macs": self.macs, "full_macs": self.full_macs, "layers": rows}

    def text(self) -> str:
        """A table."""
        lines = [
            f"{'layer':<12} {'tokens (template + search)':<28} {'M params':>9} {'G MACs':>8} {'with q.k, a.v':>14}"
        ]
        for layer in self.layers:
            tokens = f"{layer.template_tokens} + {layer.search_tokens}"
            if layer.search_tokens_left != layer.search_tokens:
                tokens += f" -> {layer.search_tokens_left}"
            numbers = layer.parameters / 1e6, layer.macs / 1e9, (layer.macs + layer.attention_macs) / 1e9
            lines.append("{:<12} {:<28} {:>9.2f} {:>8.3f} {:>14.3f}".format(layer.name, tokens, *numbers))
        total = f"{self.parameters / 1e6:>9.2f} {self.macs / 1e9:>8.2f} {self.full_macs / 1e9:>14.2f}"
        return "\n".join([*lines, f"{'total':<12} {'':<28} {total}"])


def profile(network: OSTrackConfig | Configured) -> Profile:
    """Count parameters and multiply-accumulates, without running or even loading anything.

    The paper's figures (21.5 G for 256 pixels with elimination) leave out the two matrix products inside the
    attention; both counts are given. Norms, activations and the softmax are in neither, nor are the few attention rows
    that decide about candidates, which a network that materialises its attention gets for nothing; they are below
    0.1 % with the query ``"center"``. A tracker that keeps the template's patch tokens saves the template's share of
    the patch embedding, which is counted here as well.

    Args:
        network: A configuration, or a one-stream network that has one.

    Returns:
        The counts, a row for each layer.

    Raises:
        ValueError: The network keeps a share of the score, not of the tokens.
    """
    config = network if isinstance(network, OSTrackConfig) else network.config
    z, x, dim = config.template_grid**2, config.search_grid**2, config.embed_dim
    if config.keep_mass is not None:
        raise ValueError(
            f"keep_mass={config.keep_mass}: how many tokens are left, and so the cost, is up to the picture"
        )
    ratios = dict(zip(config.elimination_layers, config.keep_ratios, strict=True))
    patch = 3 * config.patch_size**2
    embedding = (patch + 1) * dim + (z + x) * dim + (3 * dim if config.token_type else 0)
    layers = [Layer("patch embed", z, x, x, embedding, (Product("patches", z + x, patch, dim),))]
    now = x
    for index in range(config.depth):
        left = math.ceil(ratios[index] * now) if index in ratios else now
        layers.append(
            Layer(f"block {index}", z, now, left, _block_parameters(config), _block_products(config, z + now, z + left))
        )
        now = left
    layers.append(Layer("norm", z, now, x, 2 * dim))
    parameters, products = _head(config, x)
    layers.append(Layer(f"{config.head} head", 0, x, x, parameters, products))
    return Profile(config, tuple(layers))


def _block_parameters(config: OSTrackConfig) -> int:
    dim, hidden = config.embed_dim, _hidden(config)
    attention = 3 * dim * (dim + 1) + dim * (dim + 1)
    mlp = (dim + 1) * hidden + (hidden + 1) * dim
    return 4 * dim + attention + mlp + (2 * dim if config.layer_scale else 0)


def _block_products(config: OSTrackConfig, tokens: int, tokens_left: int) -> tuple[Product, ...]:
    """Attention sees all tokens of the layer, its MLP those that are left."""
    dim, heads = config.embed_dim, config.num_heads
    return (
        Product("query, key, value", tokens, dim, 3 * dim),
        Product("query . key", tokens, dim // heads, tokens, heads, attention=True),
        Product("attention . value", tokens, tokens, dim // heads, heads, attention=True),
        Product("projection", tokens, dim, dim),
        Product("mlp in", tokens_left, dim, _hidden(config)),
        Product("mlp out", tokens_left, _hidden(config), dim),
    )


def _hidden(config: OSTrackConfig) -> int:
    return int(config.embed_dim * config.mlp_ratio)


def _head(config: OSTrackConfig, places: int) -> tuple[int, tuple[Product, ...]]:
    """Parameters and products of the head, which reads every search token's place."""
    dim, channels = config.embed_dim, config.head_channels
    if config.head == "mlp":
        widths = [dim, channels, channels, 5]
        pairs = list(itertools.pairwise(widths))
        products = tuple(Product(f"linear {i}", places, a, b) for i, (a, b) in enumerate(pairs))
        return sum((a + 1) * b for a, b in pairs), products
    outputs = {"center": (1, 2, 2), "corner": (1, 1)}[config.head]
    convolutions = [layer for out in outputs for layer in _tower(dim, channels, out)]
    # Weights and bias, and two for each channel of the batch norm behind all but the last convolution.
    parameters = sum((inner + 1) * out + (2 * out if kernel == 3 else 0) for inner, out, kernel in convolutions)
    return parameters, tuple(Product(f"convolution {k}x{k}", places, inner, out) for inner, out, k in convolutions)


def _tower(dim: int, channels: int, outputs: int) -> Iterator[tuple[int, int, int]]:
    """Inputs of one output place, output channels and kernel side of each convolution."""
    widths = [dim, channels, channels // 2, channels // 4, channels // 8]
    for inputs, out in itertools.pairwise(widths):
        yield 9 * inputs, out, 3
    yield widths[-1], outputs, 1
