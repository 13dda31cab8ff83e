"""What a network is: sizes, layers and elimination, in one validated object without torch."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

__all__ = ["PRESETS", "EliminationQuery", "Head", "OSTrackConfig", "TrackerKind"]

EliminationQuery = Literal["center", "center_block", "all", "box", "paper_center"]
Head = Literal["center", "corner", "mlp"]
TrackerKind = Literal["one_stream", "two_stream_correlation", "two_stream_relation"]


class OSTrackConfig(BaseModel):
    """Architecture of one network; immutable, and refuses keys it does not know.

    Attributes:
        template_size: Side of the template crop in pixels.
        search_size: Side of the search crop in pixels.
        patch_size: Side of a patch in pixels; must divide both sizes.
        embed_dim: Width of a token.
        depth: Number of transformer blocks.
        num_heads: Attention heads per block.
        mlp_ratio: Hidden width of a block's MLP over ``embed_dim``.
        layer_scale: Learned per-channel scale on each residual branch (DINOv2).
        token_type: Learned embeddings that tell template foreground, template background and search apart.
        elimination_layers: 0-based blocks that eliminate candidates, increasing.
        keep_ratios: Share of the current search tokens kept by each of them.
        keep_mass: In place of ``keep_ratios``: share of the score that each of them keeps, so that the number of tokens
            follows the picture. For study in torch: such a network cannot be exported.
        elimination_query: Template tokens whose attention decides: the official centre ``(n - 1) // 2``, the central
            block, all of them, those whose middle the target's box holds, or the paper's centre ``n // 2``.
        head: Box head.
        head_channels: Channels of the head's first convolution (or its MLP).
        template_factor: Side of the template crop over the square root of the target's area.
        search_factor: The same for the search region.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)

    template_size: int = 128
    search_size: int = 256
    patch_size: int = 16
    embed_dim: int = 768
    depth: int = 12
    num_heads: int = 12
    mlp_ratio: float = 4.0
    layer_scale: bool = False
    token_type: bool = False
    elimination_layers: tuple[int, ...] = (3, 6, 9)
    keep_ratios: tuple[float, ...] = (0.7, 0.7, 0.7)
    keep_mass: tuple[float, ...] | None = None
    elimination_query: EliminationQuery = "center"
    head: Head = "center"
    head_channels: int = 256
    template_factor: float = 2.0
    search_factor: float = 4.0

    if not TYPE_CHECKING:  # type checkers know the fields

        def __init__(self, **fields: Any) -> None:
            """A configuration from its fields.

            Raises:
                ValueError: One line that names the first field at fault.
            """
            try:
                super().__init__(**fields)
            except ValidationError as error:
                raise ValueError(_one_line(error)) from None

    @model_validator(mode="after")
    def _check(self) -> OSTrackConfig:
        for name in (
            "template_size", "search_size", "patch_size", "embed_dim", "depth", "num_heads", "head_channels",
            "mlp_ratio", "template_factor", "search_factor",
        ):  # fmt: skip
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        for name in ("template_size", "search_size"):
            if getattr(self, name) % self.patch_size:
                raise ValueError(f"{name}={getattr(self, name)} is not a multiple of patch_size={self.patch_size}")
        if self.embed_dim % self.num_heads:
            raise ValueError(f"embed_dim={self.embed_dim} is not a multiple of num_heads={self.num_heads}")
        if self.head_channels % 8 and self.head != "mlp":
            raise ValueError(f"head_channels={self.head_channels} must be a multiple of 8: each stage halves them")
        layers = self.elimination_layers
        if len(layers) != len(self.keep_ratios):
            raise ValueError(f"{len(layers)} elimination_layers but {len(self.keep_ratios)} keep_ratios")
        if list(layers) != sorted(set(layers)) or any(not 0 <= i < self.depth for i in layers):
            raise ValueError(f"elimination_layers={layers} must increase and lie in 0..{self.depth - 1}")
        if any(not 0 < ratio <= 1 for ratio in self.keep_ratios):
            raise ValueError(f"keep_ratios={self.keep_ratios} must lie in (0, 1]")
        if self.keep_mass is not None:
            if len(layers) != len(self.keep_mass):
                raise ValueError(f"{len(layers)} elimination_layers but {len(self.keep_mass)} keep_mass")
            if any(not 0 < mass <= 1 for mass in self.keep_mass):
                raise ValueError(f"keep_mass={self.keep_mass} must lie in (0, 1]")
        return self

    @property
    def template_grid(self) -> int:
        """Template tokens per side."""
        return self.template_size // self.patch_size

    @property
    def search_grid(self) -> int:
        """Search tokens per side; also the side of the output maps."""
        return self.search_size // self.patch_size

    @property
    def needs_template_box(self) -> bool:
        """Whether the forward pass reads where the target lies in the template crop."""
        return self.token_type or (self.elimination_query == "box" and bool(self.elimination_layers))

    def without_elimination(self) -> OSTrackConfig:
        """The same network, every candidate kept."""
        return self.model_copy(update={"elimination_layers": (), "keep_ratios": (), "keep_mass": None})


def _one_line(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        near = get_close_matches(where, OSTrackConfig.model_fields, n=1)
        return f"{where}: no field of a configuration{f'; did you mean {near[0]}?' if near else ''}"
    message = first["msg"].removeprefix("Value error, ")
    return f"{where}: {message}, found {first['input']!r}" if where else message


PRESETS: dict[str, OSTrackConfig] = {
    "vitb_256": OSTrackConfig(elimination_layers=(), keep_ratios=()),
    "vitb_256_ce": OSTrackConfig(),
    "vitb_384": OSTrackConfig(
        template_size=192, search_size=384, search_factor=5.0, elimination_layers=(), keep_ratios=()
    ),
    "vitb_384_ce": OSTrackConfig(template_size=192, search_size=384, search_factor=5.0),
    "vitl_256_ce": OSTrackConfig(
        embed_dim=1024, depth=24, num_heads=16, elimination_layers=(6, 12, 18), keep_ratios=(0.7, 0.7, 0.7)
    ),
    "vitl_384_ce": OSTrackConfig(
        template_size=192, search_size=384, search_factor=5.0, embed_dim=1024, depth=24, num_heads=16,
        elimination_layers=(6, 12, 18), keep_ratios=(0.7, 0.7, 0.7),
    ),
    "vits14_224_ce": OSTrackConfig(
        template_size=112, search_size=224, patch_size=14, embed_dim=384, num_heads=6, layer_scale=True,
        token_type=True, head_channels=128,
    ),
    "vits14_224_ce_d8": OSTrackConfig(
        template_size=112, search_size=224, patch_size=14, embed_dim=384, depth=8, num_heads=6, layer_scale=True,
        token_type=True, elimination_layers=(3, 5, 6), head_channels=128,
    ),
    "vits14_224_ce_d6": OSTrackConfig(
        template_size=112, search_size=224, patch_size=14, embed_dim=384, depth=6, num_heads=6, layer_scale=True,
        token_type=True, elimination_layers=(2, 3, 4), head_channels=128,
    ),
    "vitt_256_ce": OSTrackConfig(embed_dim=192, num_heads=3, head_channels=64),
}  # fmt: skip
"""Named architectures: the official ViT-B/16 and ViT-L/16, and small ones for CPUs."""
