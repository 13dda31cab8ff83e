"""OSTrack: joint encoding and a box head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from ostrack.config import OSTrackConfig
from ostrack.model.heads import CenterHead, CornerHead, MlpHead
from ostrack.model.vit import JointViT

__all__ = ["OSTrack", "Prediction"]

_HEADS = {"center": CenterHead, "corner": CornerHead, "mlp": MlpHead}


@dataclass(frozen=True)
class Prediction:
    """Output of a forward pass; ``S`` is the side of the search grid.

    Attributes:
        boxes: ``(B, 4)`` cxcywh relative to the search crop, decoded at the peak, no window.
        score: ``(B,)`` confidence in [0, 1]: the peak of the score map.
        score_map: ``(B, 1, S, S)`` in (0, 1); None for the corner head.
        size_map: ``(B, 2, S, S)`` width and height relative to the search crop; None for the corner head.
        offset_map: ``(B, 2, S, S)`` centre minus cell index, in cells; None for the corner head.
        corner_maps: ``(B, 2, S, S)`` corner distributions; only from the corner head.
        features: ``(B, Nz + Nx, C)`` after the final norm, search tokens in raster order, zeros where eliminated.
        eliminated: For each eliminating layer the ``(B, n)`` int64 raster indices of the search tokens it dropped.
    """

    boxes: Tensor
    score: Tensor
    score_map: Tensor | None
    size_map: Tensor | None
    offset_map: Tensor | None
    corner_maps: Tensor | None
    features: Tensor
    eliminated: list[Tensor]


class OSTrack(nn.Module):
    """The one-stream tracker's network (paper section 3).

    Args:
        config: Architecture; read here and kept, never consulted in the forward pass.
        drop_path: Stochastic depth of the last block, for training.
    """

    def __init__(self, config: OSTrackConfig, drop_path: float = 0.0) -> None:
        super().__init__()
        self.config = config
        self.backbone = JointViT(
            template_grid=config.template_grid,
            search_grid=config.search_grid,
            patch_size=config.patch_size,
            embed_dim=config.embed_dim,
            depth=config.depth,
            num_heads=config.num_heads,
            mlp_ratio=config.mlp_ratio,
            layer_scale=config.layer_scale,
            token_type=config.token_type,
            elimination_layers=config.elimination_layers,
            keep_ratios=config.keep_ratios,
            keep_mass=config.keep_mass,
            elimination_query=config.elimination_query,
            drop_path=drop_path,
        )
        self.box_head = _HEADS[config.head](config.embed_dim, config.head_channels)

    def forward(
        self,
        template: Tensor,
        search: Tensor,
        template_box: Tensor | None = None,
        keep_ratios: float | Sequence[float] | None = None,
    ) -> Prediction:
        """Find the template's target in the search region.

        Args:
            template: ``(B, 3, Hz, Wz)`` float, ImageNet-normalised RGB crop of the target.
            search: ``(B, 3, Hx, Wx)`` float, the same for the search region.
            template_box: ``(B, 4)`` cxcywh of the target relative to the template crop; required with token types
                or ``elimination_query="box"``, ignored otherwise.
            keep_ratios: Replaces the configured keep ratios: one for all eliminating layers or one for each.

        Returns:
            Maps, box, features and what was eliminated.

        Raises:
            ValueError: ``template_box`` is missing where it is needed, or the ratios do not fit.
        """
        return self.search(self.embed(template, template_box), search, keep_ratios)

    def embed(self, template: Tensor, template_box: Tensor | None = None) -> Tensor:
        """First part of :meth:`forward`, needed once for each target: its template as tokens.

        Args:
            template: As in :meth:`forward`.
            template_box: Likewise.

        Returns:
            ``(B, Nz, C)``; with ``elimination_query="box"`` one column more, see
            :meth:`ostrack.model.vit.JointViT.embed_template`.
        """
        return self.backbone.embed_template(template, template_box)

    def search(
        self, template_tokens: Tensor, search: Tensor, keep_ratios: float | Sequence[float] | None = None
    ) -> Prediction:
        """Second part of :meth:`forward`, for every frame.

        Args:
            template_tokens: From :meth:`embed`, one row for each search region.
            search: As in :meth:`forward`.
            keep_ratios: Likewise.
        """
        features, eliminated = self.backbone.encode(template_tokens, search, keep_ratios)
        side = self.backbone.search_grid
        scene = features[:, -side * side :]
        head = self.box_head(scene.transpose(1, 2).reshape(scene.shape[0], scene.shape[2], side, side))
        return Prediction(
            head.boxes, head.score, head.score_map, head.size_map, head.offset_map, head.corner_maps, features,
            eliminated,
        )  # fmt: skip
