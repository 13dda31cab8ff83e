"""``python -m ostrack``: the command line, for where the ``ostrack`` program is not on the path."""

from __future__ import annotations

from ostrack.cli import main

if __name__ == "__main__":
    main()
