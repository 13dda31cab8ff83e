"""Configurations: what is wrong is told in one line."""

from __future__ import annotations

from typing import Any

import pytest

from ostrack.config import PRESETS, OSTrackConfig


@pytest.mark.parametrize(("fields", "message"), [
    ({"bogus": 1}, "bogus: no field of a configuration"),
    ({"embed_dims": 1}, "embed_dims: no field of a configuration; did you mean embed_dim?"),
    ({"depth": 1.5}, "depth: Input should be a valid integer, got a number with a fractional part, found 1.5"),
    ({"head": "round"}, "head: Input should be 'center', 'corner' or 'mlp', found 'round'"),
    ({"search_size": 250}, "search_size=250 is not a multiple of patch_size=16"),
])  # fmt: skip
def test_the_first_field_at_fault_is_named_in_one_line(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message.split(":")[0]) as caught:
        OSTrackConfig(**fields)
    assert str(caught.value) == message


def test_presets_go_through_json() -> None:
    for config in PRESETS.values():
        assert OSTrackConfig.model_validate_json(config.model_dump_json()) == config
