"""Kinds of network: the one-stream tracker's, and two-stream baselines of the same parts."""

from __future__ import annotations

from ostrack.config import OSTrackConfig, TrackerKind
from ostrack.model.ostrack import OSTrack
from ostrack.model.two_stream import TwoStream

__all__ = ["kind_of", "new_network"]


def new_network(config: OSTrackConfig, tracker: TrackerKind = "one_stream", drop_path: float = 0.0) -> OSTrack:
    """A network of one of the kinds, with random weights."""
    if tracker == "two_stream_correlation":
        return TwoStream(config, "correlation", drop_path)
    if tracker == "two_stream_relation":
        return TwoStream(config, "relation", drop_path)
    return OSTrack(config, drop_path)


def kind_of(net: OSTrack) -> TrackerKind:
    """Which kind a network is."""
    if not isinstance(net, TwoStream):
        return "one_stream"
    return "two_stream_correlation" if net.stage == "correlation" else "two_stream_relation"
