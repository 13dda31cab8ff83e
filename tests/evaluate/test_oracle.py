"""Published figures of other trackers from their raw results; the files are read in place and not redistributed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ostrack.evaluate import score


def load(shared: Path, name: str) -> dict[str, dict[str, np.ndarray]]:
    path = shared / "oracle" / name
    if not path.is_file():
        pytest.skip(f"raw results not found at {path}")
    out: dict[str, dict[str, np.ndarray]] = {}
    with np.load(path) as arrays:
        for key in arrays:
            tracker, sequence = key.split("__", 1)
            out.setdefault(tracker, {})[sequence] = arrays[key].astype(np.float64)
    return out


@pytest.mark.parametrize(
    ("file", "tracker", "success", "precision"),
    [
        ("dtb70.npz", "AutoTrack", 0.478, 0.716),
        ("dtb70.npz", "DSST", 0.321, 0.463),
        ("dtb70.npz", "KCF", 0.280, 0.468),
        ("uav123_10fps.npz", "AutoTrack", 0.477, 0.671),
        ("uav123_10fps.npz", "KCF", 0.265, 0.406),
        ("otb100.npz", "SRDCF", 0.598, 0.789),
        ("otb100.npz", "SiamFC-3s", 0.582, 0.770),
    ],
)
def test_otb_style_figures(shared: Path, file: str, tracker: str, success: float, precision: float) -> None:
    arrays = load(shared, file)
    report = score(arrays[tracker], arrays["gt"], "otb")
    assert report.success == pytest.approx(success, abs=0.001)
    assert report.precision == pytest.approx(precision, abs=0.001)


@pytest.mark.parametrize(("tracker", "success", "precision"), [("AutoTrack", 0.4774, 0.6714), ("KCF", 0.2647, 0.4062)])
def test_absent_frames_are_hits_for_precision_on_uav123(
    shared: Path, tracker: str, success: float, precision: float
) -> None:
    arrays = load(shared, "uav123_10fps.npz")
    for protocol in ("otb", "uav"):
        report = score(arrays[tracker], arrays["gt"], protocol)
        assert report.success == pytest.approx(success, abs=5e-5)
        assert report.precision == pytest.approx(precision, abs=5e-5)
    assert score(arrays[tracker], arrays["gt"], "lasot").precision < precision - 0.02


def test_got10k_val(shared: Path) -> None:
    arrays = load(shared, "got10k_val.npz")
    report = score(arrays["NanoTrackV3"], arrays["gt"], "got10k")
    assert report.ao == pytest.approx(0.719, abs=0.003)
    assert report.sr50 == pytest.approx(0.848, abs=0.003)
    assert report.ao == pytest.approx(0.7173, abs=5e-5)
    assert report.sr50 == pytest.approx(0.8464, abs=5e-5)
