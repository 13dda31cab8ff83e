"""Dashes lie on the edges of a box and nowhere else."""

from __future__ import annotations

import math

import pytest

from ostrack.dashes import Line, dashes


def test_pieces_begin_left_and_on_top_and_end_with_the_edge() -> None:
    assert list(dashes((10, 20, 35, 32), 5, 10)) == [
        ((10, 20), (15, 20)), ((20, 20), (25, 20)), ((30, 20), (35, 20)),
        ((35, 20), (35, 25)), ((35, 30), (35, 32)),
        ((10, 32), (15, 32)), ((20, 32), (25, 32)), ((30, 32), (35, 32)),
        ((10, 20), (10, 25)), ((10, 30), (10, 32)),
    ]  # fmt: skip


def test_circling_starts_each_edge_where_the_last_one_ended() -> None:
    lines = list(dashes((0, 0, 12, 6), 4, 9, circling=True))
    assert [line for line in lines if line[0][1] == line[1][1] == 6] == [((12, 6), (8, 6)), ((3, 6), (0, 6))]
    assert [line for line in lines if line[0][0] == line[1][0] == 0] == [((0, 6), (0, 2))]


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((1, 2, 5, 2), [((1, 2), (5, 2)), ((1, 2), (5, 2))]),
        ((1, 2, 1, 2), []),
    ],
)
def test_an_edge_without_length_has_no_pieces(box: tuple[float, float, float, float], expected: list[Line]) -> None:
    assert list(dashes(box, math.inf, math.inf)) == expected
