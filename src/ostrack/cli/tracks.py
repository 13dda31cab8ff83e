"""``ostrack tracks``: finished boxes from one format to another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ostrack.errors import DataError, OutputError

if TYPE_CHECKING:
    from ostrack.results import Media

__all__ = ["app"]

app = typer.Typer(
    help="Turn finished tracks from one format into another.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
def convert(
    tracks: Annotated[Path, typer.Argument(metavar="TRACKS", help="A .csv, .json, .jsonl or .txt (MOT) file.")],
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT", help="What it becomes: .csv, .json, .jsonl, .txt, .coco.json, .xml (CVAT), .yolo (folder)."
        ),
    ],
    source: Annotated[
        str | None, typer.Option(metavar="SOURCE", help="The clip: gives frame size, rate and length.")
    ] = None,
    size: Annotated[str | None, typer.Option(metavar="WxH", help="Frame size, in place of SOURCE.")] = None,
    fps: Annotated[float | None, typer.Option(metavar="F", help="Frame rate, with --size. [default: 25]")] = None,
) -> None:
    """Convert a file of tracks.

    Example: ostrack tracks convert tracks.csv tracks.xml --source clip.mp4
    """
    from ostrack.results import format_of, read_result, save

    format_of(out)
    if tracks.resolve() == out.resolve():
        raise OutputError(f"{out}: is the file that is read; choose another name")
    save(read_result(tracks, _media(source, size, fps)), out)
    print(out)


@app.command()
def images(
    tracks: Annotated[Path, typer.Argument(metavar="TRACKS", help="A .yolo folder or a .coco.json file.")],
    source: Annotated[str, typer.Option(metavar="SOURCE", help="The clip that it was made from.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FOLDER", help="In place of where training looks for them.")
    ] = None,
) -> None:
    """Write the frames that labels are about as JPEG files: to TRACKS/images for YOLO, beside TRACKS for COCO.

    Example: ostrack tracks images labels/tracks.yolo --source clip.mp4
    """
    from ostrack.cli.progress import progress_line
    from ostrack.video import write_images

    files = _images_of(tracks, out)
    with progress_line(f"reading {source}") as progress:
        missing = write_images(source, files, progress)
    print(f"wrote {len(files) - len(missing)} images")
    if missing:
        raise DataError(f"{source}: has no frame {missing[0]}, which {tracks} is about ({len(missing)} such)")


def _images_of(tracks: Path, out: Path | None) -> dict[int, Path]:
    """File of each frame, by its number."""
    import json

    if tracks.is_dir() and (tracks / "labels").is_dir():
        stems = [file.stem for file in (tracks / "labels").glob("*.txt") if file.stem.isdecimal()]
        return {int(stem): (out or tracks / "images") / f"{stem}.jpg" for stem in stems}
    try:
        entries = json.loads(tracks.read_text(encoding="utf-8"))["images"]
        names = {int(entry["frame_id"]): Path(entry["file_name"]) for entry in entries}
    except (KeyError, TypeError, ValueError, IsADirectoryError) as error:
        raise DataError(f"{tracks}: neither a .yolo folder nor a .coco.json file of this package") from error
    for name in names.values():
        # Somebody else may have written the file.
        if name.is_absolute() or ".." in name.parts or name.suffix != ".jpg":
            raise DataError(f"{tracks}: {str(name)!r} is no place for an image; expected a .jpg below the folder")
    return {frame: (out or tracks.parent) / name for frame, name in names.items()}


def _media(source: str | None, size: str | None, fps: float | None) -> Media:
    from ostrack.results import Media

    if (source is None) == (size is None):
        raise OutputError("give the clip with --source, or its frame size with --size WxH")
    if source is not None and fps is not None:
        raise OutputError(f"--fps {fps:g} goes with --size; {source} has a frame rate of its own")
    if size is not None:
        fps = 25.0 if fps is None else fps
        width, _, height = size.lower().partition("x")
        if not (width.isdecimal() and height.isdecimal() and int(width) and int(height) and 0 < fps < float("inf")):
            raise OutputError(f"--size {size} --fps {fps:g}: expected a size like 640x480 and a positive rate")
        return Media("clip", fps, (int(width), int(height)))
    from ostrack.video import open_source

    with open_source(source or "") as opened:
        return Media(opened.name, opened.fps, opened.size, opened.frame_count)
