"""What ``benchmarks/speed.py`` measured, as tables against the goals, and the plot of speed against accuracy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["GOALS", "markdown", "plot", "successes"]

GOALS = {
    "share of the machine's matrix products": 0.85,
    "low precision against float32": 2.2,
    "milliseconds beside the network": 1.5,
    "points between time and multiply-adds saved": 5.0,
    "cost of 8 targets in frames of one": 6.5,
    "MB for 32 targets": 1500.0,
}

_LOW = ("int8", "bf16", "bfloat16")

Part = dict[str, Any]
Row = dict[str, Any]


def markdown(found: dict[str, Part]) -> str:
    """All parts that were measured."""
    sections = {
        "runtimes": _runtimes, "rest": _rest, "elimination": _elimination, "targets": _targets, "peers": _peers
    }  # fmt: skip
    lines = ["# Speed", "", "Written by `python benchmarks/speed.py`; medians, everything in turn."]
    for name, section in sections.items():
        if name in found:
            lines += ["", *section(found[name]), "", _where(found[name])]
    return "\n".join(lines) + "\n"


def verdict(goal: str, value: float, at_most: bool, form: str) -> str:
    """A measured value beside its goal."""
    limit = GOALS[goal]
    reached = value <= limit if at_most else value >= limit
    word = "at most" if at_most else "at least"
    return f"{value:{form}} (goal: {word} {limit:{form}}; {'reached' if reached else 'missed'})"


def _where(part: Part) -> str:
    machine = part["machine"]
    libraries = ", ".join(f"{name} {number}" for name, number in machine["libraries"].items())
    load = "" if machine["load"] is None else f", load {machine['load']:.1f} before"
    clip = f"{part['clip']}. " if "clip" in part else ""
    return f"{clip}{machine['cpu']}, {machine['cores']} cores{load}, Python {machine['python']}, {libraries}."


def _measured(part: Part) -> list[Row]:
    return [row for row in part["rows"] if row["median_ms"] is not None]


def _missing(part: Part) -> list[str]:
    return [f"Not measured: {row['label']}: {row['problem']}" for row in part["rows"] if row["problem"]]


def _threads(row: Row) -> str:
    return "own choice" if row["threads"] is None else str(row["threads"])


def _low_precision(row: Row) -> bool:
    return any(name in row["runtime"] for name in _LOW)


def _share(peak: dict[str, Any], row: Row) -> float:
    """Speed of the network over that of its matrix products alone.

    Where short products leave threads idle the whole network is faster than their sum: then over that of large ones.
    """
    alone = float(peak["ms"] / row["network_ms"])
    return alone if alone <= 1 else float(peak["gmacs"] * 1000 / peak["large_gmacs_per_s"] / row["network_ms"])


def _runtimes(part: Part) -> list[str]:
    rows = _measured(part)
    lines = [
        "## Runtimes",
        "",
        "| network | runs in | threads | ms a frame (95 %) | frames a second | network alone, ms "
        "| share of the machine | against float32 | MB |",
        "| --- | --- | ---: | ---: | ---: | ---: | --- | --- | ---: |",
    ]
    best_share, best_gain = 0.0, 0.0
    default = rows[0]["label"] if rows else ""
    for row in rows:
        share = gain = ""
        full = [
            r["median_ms"]
            for r in rows
            if r["threads"] == row["threads"] and not _low_precision(r) and r["label"] in row["label"]
        ]
        if _low_precision(row) and full:
            value = min(full) / row["median_ms"]
            best_gain, gain = max(best_gain, value), f"{value:.2f} x"
        peak = next((p for p in part["peaks"] if p["threads"] == row["threads"]), None)
        if not _low_precision(row) and peak is not None and row["label"] == default:
            value = _share(peak, row)
            best_share, share = max(best_share, value), f"{value:.0%}"
        memory = "" if row["peak_mb"] is None else f"{row['peak_mb']:.0f}"
        lines.append(
            f"| {row['label']} | {row['runtime']} | {_threads(row)} | {row['median_ms']:.1f} ({row['slow_ms']:.1f}) "
            f"| {row['fps']:.1f} | {row['network_ms']:.1f} | {share} | {gain} | {memory} |"
        )
    lines += ["", *_missing(part)]
    for peak in part["peaks"]:
        lines.append(
            f"* {peak['threads']} thread(s): the machine multiplies the network's own matrices, {peak['gmacs']:.2f} G "
            f"MACs, in {peak['ms']:.1f} ms at best ({peak['gmacs_per_s']:.1f} G MACs a second; large square products: "
            f"{peak['large_gmacs_per_s']:.1f})."
        )
    if best_share:
        goal = "share of the machine's matrix products"
        lines.append(f"* Best share of that in float32: {verdict(goal, best_share, False, '.0%')}.")
    if best_gain:
        goal = "low precision against float32"
        lines.append(
            f"* Best speed of low precision over the fastest float32: {verdict(goal, best_gain, False, '.2f')}."
        )
    return lines


def _rest(part: Part) -> list[str]:
    lines = ["## Everything but the network", ""]
    for row in _measured(part):
        which = f"{row['label']}, {row['runtime']}, {_threads(row)} thread(s)"
        value = verdict("milliseconds beside the network", row["rest_ms"], True, ".2f")
        lines.append(f"* {which}: {value} ms a frame of 1280 x 720.")
    return lines + _missing(part)


def _elimination(part: Part) -> list[str]:
    lines = [
        "## Candidate elimination, ViT-B in float32",
        "",
        "| network | threads | without, ms | with, ms | time saved | MACs saved (with those of the attention) "
        "| difference |",
        "| --- | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for row in part["rows"]:
        gap = 100 * abs(row["time_saved"] - row["macs_saved"])
        value = verdict("points between time and multiply-adds saved", gap, True, ".1f")
        lines.append(
            f"| {row['network']} | {row['threads']} | {row['plain_ms']:.0f} | {row['eliminating_ms']:.0f} "
            f"| {row['time_saved']:.1%} | {row['macs_saved']:.1%} ({row['full_macs_saved']:.1%}) | {value} points |"
        )
    return lines


def _targets(part: Part) -> list[str]:
    rows = _measured(part)
    lines = [
        "## Many targets",
        "",
        "| network | targets | runs in | threads | ms a frame | in frames of one target | MB |",
        "| --- | ---: | --- | ---: | ---: | --- | --- |",
    ]
    for row in rows:
        alike = [r for r in rows if (r["label"], r["threads"]) == (row["label"], row["threads"])]
        one = next((r for r in alike if r["targets"] == 1), None)
        cost = "" if one is None else f"{row['median_ms'] / one['median_ms']:.2f}"
        if one is not None and row["targets"] == 8:
            cost = verdict("cost of 8 targets in frames of one", row["median_ms"] / one["median_ms"], True, ".2f")
        memory = "" if row["peak_mb"] is None else f"{row['peak_mb']:.0f}"
        if row["peak_mb"] is not None and row["targets"] == 32:
            memory = verdict("MB for 32 targets", row["peak_mb"], True, ".0f")
        lines.append(
            f"| {row['label']} | {row['targets']} | {row['runtime']} | {_threads(row)} | {row['median_ms']:.1f} "
            f"| {cost} | {memory} |"
        )
    return [*lines, *_missing(part)]


def _peers(part: Part) -> list[str]:
    lines = [
        "## Beside other trackers",
        "",
        "| tracker | runs in | threads | ms a frame (95 %) | frames a second | MB | success AUC [95 %] |",
        "| --- | --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for row in sorted(_measured(part), key=lambda row: (row["threads"] or 0, row["median_ms"])):
        memory = "" if row["peak_mb"] is None else f"{row['peak_mb']:.0f}"
        known = success_of(row, part)
        success = "" if known is None else f"{known['value']:.3f} [{known['low']:.3f}, {known['high']:.3f}]"
        lines.append(
            f"| {row['label']} | {row['runtime']} | {_threads(row)} | {row['median_ms']:.1f} ({row['slow_ms']:.1f}) "
            f"| {row['fps']:.1f} | {memory} | {success} |"
        )
    lines += ["", *_missing(part)]
    lines.append("![speed against accuracy](speed.png)")
    return lines


def arithmetic(runtime: str) -> str:
    """What a runtime's description says it computes in; where int8 stands, the rest is in float32."""
    return runtime.rpartition(" in ")[2].removesuffix(", compiled").removesuffix(" and float32")


def successes(trackers: dict[str, dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Success of each tracker that ``benchmarks/sequences.py`` ran, under the name that :func:`success_of` looks for.

    Args:
        trackers: ``trackers`` of its results. Those of ours say their network and runtime; others go by their name.
    """
    found = {}
    for name, tracker in trackers.items():
        if tracker.get("recovery") is False:
            continue  # not how the speed was measured
        ours = tracker.get("network")
        key = name if ours is None else f"{ours} in {arithmetic(tracker['runtime'])}"
        found[key] = tracker["intervals"]["success"]
    return found


def success_of(row: Row, part: Part) -> dict[str, float] | None:
    """Accuracy of a tracker, where it was measured with this very network in this precision."""
    known: dict[str, dict[str, float]] = part.get("success", {})
    if row["network_ms"] is None:
        return known.get(row["label"])
    return known.get(f"{row['label']} in {arithmetic(row['runtime'])}")


def _lines(part: Part) -> dict[str, list[Row]]:
    """For each tracker of known accuracy, by the name in the plot, its fastest row at each number of threads."""
    names = {"fear_xs": "FEAR-XS", "nanotrack3": "NanoTrack v3", "nanotrack2_cv": "NanoTrack v2 (OpenCV)"}
    names |= {"csrt": "CSRT (OpenCV)", "kcf": "KCF (OpenCV)"}
    fastest: dict[tuple[str, int], Row] = {}
    for row in _measured(part):
        if success_of(row, part) is None:
            continue
        name = str(names.get(row["label"], row["label"]))
        if row["network_ms"] is not None:
            kind = arithmetic(row["runtime"])
            name = " ".join(["ostrack", row["label"], *([] if kind == "float32" or kind in name else [kind])])
        key = (name, row["threads"] or 0)
        if key not in fastest or row["fps"] > fastest[key]["fps"]:
            fastest[key] = row
    lines: dict[str, list[Row]] = {}
    for (name, _), row in sorted(fastest.items()):
        lines.setdefault(name, []).append(row)
    return lines


def plot(part: Part, path: Path) -> None:
    """Frames a second against success: a line for each tracker, on it a point for each number of threads.

    Of runtimes that answer alike only the fastest is shown. The ground is transparent and all lettering of a middle
    grey, to be read on light and on dark pages.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    grey, own, other = "#808890", "#e0701a", "#2f8fd0"
    counts = sorted({row["threads"] or 0 for row in part["rows"]})
    markers = dict(zip(counts, "osD^vP", strict=False))
    figure, axes = pyplot.subplots(figsize=(8, 5))
    figure.patch.set_alpha(0)
    axes.patch.set_alpha(0)
    lines = _lines(part)
    ends = [
        (known["value"], max(row["fps"] for row in rows))
        for rows in lines.values()
        if (known := success_of(rows[0], part)) is not None
    ]
    for name, rows in lines.items():
        known = success_of(rows[0], part)
        assert known is not None
        paint = other if rows[0]["network_ms"] is None else own
        speeds, value = [row["fps"] for row in rows], known["value"]
        axes.plot(speeds, [value] * len(rows), color=paint, linewidth=1.5, alpha=0.7)
        for row in rows:
            axes.plot(row["fps"], value, markers.get(row["threads"] or 0, "o"), color=paint, markersize=7)
        error = [[value - known["low"]], [known["high"] - value]]
        axes.errorbar(speeds[0], value, error, fmt="none", color=paint, capsize=3, elinewidth=1, alpha=0.6)
        # Below its point where another line goes on close above.
        below = any(0 < height - value < 0.012 and end > max(speeds) for height, end in ends)
        place = (6, -12 if below else 6)
        axes.annotate(name, (max(speeds), value), place, textcoords="offset points", fontsize=9, color=paint)
    for count in counts:
        name = "own choice of threads" if count == 0 else f"{count} thread{'s' * (count > 1)}"
        axes.plot([], [], markers.get(count, "o"), color=grey, label=name)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator([digit * 10**power for power in range(4) for digit in (1, 2, 3, 5)]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("frames a second, 640 x 360, one target", color=grey)
    axes.set_ylabel("success AUC, 95 % intervals", color=grey)
    axes.tick_params(colors=grey, which="both")
    axes.grid(color=grey, alpha=0.25, which="both", linewidth=0.5)
    for spine in axes.spines.values():
        spine.set_color(grey)
    axes.legend(frameon=False, labelcolor=grey, loc="lower left")
    low, high = axes.get_xlim()
    axes.set_xlim(low, high * 3)  # room for the name of the fastest
    figure.tight_layout()
    figure.savefig(path, dpi=150, transparent=True)
    pyplot.close(figure)
