"""Average the weights of networks of one architecture, such as successive rounds of one training.

    python tools/average_networks.py FIRST.safetensors SECOND.safetensors [...] -o MEAN.safetensors

The mean of rounds that start from each other often serves unseen data better than the last one alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ostrack.model.checkpoint import load, read_metadata, save


def average(sources: list[Path], out: Path) -> None:
    """Write the mean of networks; metadata and counters are those of the last.

    Args:
        sources: Networks of ours.
        out: Target, ``.safetensors``.

    Raises:
        ValueError: The architectures differ.
    """
    nets = [load(source) for source in sources]
    for source, net in zip(sources, nets, strict=True):
        if net.config != nets[-1].config:
            raise ValueError(f"{source}: another architecture than {sources[-1]}")
    states = [net.state_dict() for net in nets]
    mean = {
        key: sum(state[key] for state in states) / len(states) if value.is_floating_point() else value
        for key, value in states[-1].items()
    }
    nets[-1].load_state_dict(mean)
    extra = {key: value for key, value in read_metadata(sources[-1]).items() if key not in ("format", "config")}
    save(out, nets[-1], extra | {"averaged": [source.name for source in sources]})


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", type=Path, nargs="+")
    parser.add_argument("-o", "--out", type=Path, required=True)
    options = parser.parse_args()
    average(options.sources, options.out)


if __name__ == "__main__":
    main()
