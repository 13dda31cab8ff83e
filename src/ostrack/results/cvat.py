"""CVAT's XML 1.1 for video tasks: a track for each target, a box for each frame.

After https://docs.cvat.ai/docs/manual/advanced/xml_format/#interpolation. CVAT keeps key frames only and draws straight
lines between them, so every box is one; where a target is lost or gone, one box with ``outside="1"`` ends it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TextIO
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from ostrack.recovery import STATES
from ostrack.results.table import Label, Result, TargetTrack
from ostrack.whole import whole_file

__all__ = ["write_cvat"]

# A box that is lost is not written.
_SHOWN = tuple(state for state in STATES if state != "lost")


def write_cvat(result: Result, path: Path) -> None:
    """Write one XML file, which CVAT takes as "CVAT 1.1".

    Labels carry two attributes: ``target``, the id, and ``state``. CVAT passes over those that a task does not have.

    Raises:
        OutputError: It cannot be written.
    """
    with whole_file(path) as file:
        file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n')
        _meta(result, file)
        for number, track in enumerate(result.targets.values()):
            _track(result, track, number, file)
        file.write("</annotations>\n")


def _meta(result: Result, file: TextIO) -> None:
    width, height = result.media.size
    labels = dict.fromkeys(track.label for track in result.targets.values())
    file.write(
        f"  <meta>\n    <task>\n      <name>{_text(Path(result.media.name).name)}</name>\n"
        f"      <size>{result.frame_count}</size>\n      <mode>interpolation</mode>\n      <overlap>0</overlap>\n"
        "      <labels>\n"
    )
    for label in labels:
        file.write(f"        <label>\n          <name>{_text(label)}</name>\n          <attributes>\n")
        file.write(_attribute("target", "False", "text", "", ""))
        file.write(_attribute("state", "True", "select", _SHOWN[0], "\n".join(_SHOWN)))
        file.write("          </attributes>\n        </label>\n")
    file.write(
        f"      </labels>\n      <original_size>\n        <width>{width}</width>\n        <height>{height}</height>\n"
        f"      </original_size>\n      <source>{_text(Path(result.media.name).name)}</source>\n"
        "    </task>\n  </meta>\n"
    )


def _attribute(name: str, mutable: str, kind: str, default: str, values: str) -> str:
    return (
        f"            <attribute>\n              <name>{name}</name>\n              <mutable>{mutable}</mutable>\n"
        f"              <input_type>{kind}</input_type>\n              <default_value>{default}</default_value>\n"
        f"              <values>{values}</values>\n            </attribute>\n"
    )


def _track(result: Result, track: TargetTrack, number: int, file: TextIO) -> None:
    seen = np.flatnonzero(track.states != "lost").tolist()
    if not seen:
        return
    source = "manual" if track.keyframes.all() else "auto"
    file.write(f'  <track id="{number}" label={quoteattr(_clean(track.label))} source="{source}">\n')
    last: Label | None = None
    for row in seen:
        label = track.at(row)
        if last is not None:
            gap = range(last.frame + 1, label.frame)
            gone = next(result.looked_at(gap.start, gap.stop), None)
            # Over some frames that nobody looked at a target may well have stayed; over more than a second, a box drawn
            # through them would be made up.
            if gone is None and len(gap) > result.media.fps:
                gone = gap.start
            if gone is not None:
                _box(last, gone, True, file)
        _box(label, label.frame, False, file)
        last = label
    if last is not None and last.frame + 1 < result.frame_count:
        _box(last, last.frame + 1, True, file)
    file.write("  </track>\n")


def _box(label: Label, frame: int, outside: bool, file: TextIO) -> None:
    x, y, w, h = label.box
    file.write(
        f'    <box frame="{frame}" keyframe="1" outside="{int(outside)}" occluded="0" xtl="{x:.3f}" ytl="{y:.3f}" '
        f'xbr="{x + w:.3f}" ybr="{y + h:.3f}" z_order="0">\n'
        f'      <attribute name="target">{_text(str(label.id))}</attribute>\n'
        f'      <attribute name="state">{label.state}</attribute>\n    </box>\n'
    )


def _clean(text: str) -> str:
    """Without the control characters that XML 1.0 cannot hold."""
    return "".join(letter for letter in text if letter >= " " or letter in "\t\n\r")


def _text(text: str) -> str:
    return escape(_clean(text))
