"""The command line: every command is a function of the package with the same arguments.

Commands live in files of their own beside this one and import what they need when they run, so that ``--help``
stays instant. Exit codes: 0 done; 1 done as far as the source went, which broke off; 2 an error, told in one line;
130 interrupted.
"""

from __future__ import annotations

import io
import os
import sys
import warnings
from typing import Annotated, Any, cast

import typer
from typer.core import TyperGroup

from ostrack.cli import (
    annotate,
    benchmark,
    calibrate,
    data,
    demo,
    evaluate,
    explain,
    profile,
    serve,
    track,
    tracks,
    train,
    weights,
)
from ostrack.errors import OSTrackError

__all__ = ["app", "main"]


# Typer hands out only a subclass of it; its home is click or, in newer versions, a copy inside Typer.
_UsageError: type[Exception] = typer.BadParameter.__bases__[0]


class _Commands(TyperGroup):
    """Turns what went wrong into one line and an exit code; OSTRACK_TRACEBACK=1 shows the whole story instead."""

    def make_context(self, *args: Any, **extra: Any) -> Any:
        try:
            return super().make_context(*args, **extra)
        except _UsageError as error:
            raise _in_one_line(error) from error

    def invoke(self, ctx: Any) -> Any:
        if os.environ.get("OSTRACK_TRACEBACK") == "1":
            return super().invoke(ctx)
        try:
            return super().invoke(ctx)
        except _UsageError as error:
            raise _in_one_line(error) from error
        except BrokenPipeError:
            raise  # whoever read our output has gone; click ends quietly
        except (OSTrackError, OSError, ValueError) as error:
            print(f"error: {_one_line(error)}", file=sys.stderr)
            raise SystemExit(2) from error
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            raise SystemExit(130) from None
        except Exception as error:
            # OpenCV has an error of its own for it.
            if not isinstance(error, MemoryError) and "Insufficient memory" not in str(error):
                raise
            said = f" ({_one_line(error)})" if str(error) else ""
            print(f"error: not enough memory{said}", file=sys.stderr)
            raise SystemExit(2) from error


def _in_one_line(error: Any) -> BaseException:
    """A wrong option or argument told in one line, in place of the parser's four.

    A message of several lines is the help page, which stands for a call without arguments; it stays as it is.
    """
    # What the parser puts before the messages of our own says nothing more.
    message = error.format_message().removeprefix("Invalid value: ")
    if "\n" in message:
        return cast(BaseException, error)
    help_page = f" (see {error.ctx.command_path} --help)" if error.ctx is not None else ""
    print(f"error: {message.rstrip('.')}{help_page}", file=sys.stderr)
    return SystemExit(2)


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


app = typer.Typer(
    name="ostrack",
    cls=_Commands,
    help="Follow any boxed object through video; train, prune and study such trackers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(demo.demo)
app.command()(track.track)
app.command()(annotate.annotate)
app.add_typer(tracks.app, name="tracks")
app.command()(train.train)
app.command()(evaluate.evaluate)
app.command()(evaluate.compare)
app.command()(evaluate.vot)
app.command()(serve.serve)
app.command()(weights.convert)
app.command()(weights.export)
app.command()(calibrate.calibrate)
app.command()(profile.profile)
app.command()(benchmark.benchmark)
app.add_typer(data.app, name="data")
app.add_typer(explain.app, name="explain")


def _version(wanted: bool) -> None:
    if wanted:
        from ostrack import __version__

        print(f"ostrack {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def _tell(message: Warning | str, *_: object, **__: object) -> None:
    """A warning in one line, without the place in the code."""
    print(f"warning: {' '.join(str(message).split())}", file=sys.stderr)


def main() -> None:
    """Entry point of the ``ostrack`` program."""
    if os.environ.get("OSTRACK_TRACEBACK") != "1":
        warnings.showwarning = _tell
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A name that the terminal has no letters for must not turn a finished run into an error.
        sys.stdout.reconfigure(errors="backslashreplace")
    app(prog_name="ostrack")
