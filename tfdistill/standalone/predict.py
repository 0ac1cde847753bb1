"""The command `predict`: what it is told, and what can be refused without TensorFlow."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

from . import process
from .calling import PREDICT, program

DESCRIPTION = """Asks an exported network, with TensorFlow and nothing of tfdistill.

    %(prog)s saved_models/quickstart/resnet14              test digits of scikit-learn
    %(prog)s saved_models/my_run/resnet32 cat.jpg photos   image files of your own, and folders
    %(prog)s saved_models/my_run/ssd96_resnet8 street.jpg --draw=drawn   a detector: boxes, top, left, bottom, right

The folder is a SavedModel, or holds versions of one as <integer>/, of which the newest is taken. Folders of images are
searched with all their sub-folders. What is no JPEG, PNG, GIF, BMP or WebP image is read by Pillow if it is installed.
A file that cannot be read is named on standard error, and the status at the end is then 1.
"""


def newest_version(folder: Path) -> Path:
    """The folder itself if it is a SavedModel, else its highest-numbered subfolder that is one."""
    if (folder / "saved_model.pb").is_file():
        return folder
    children = folder.iterdir() if folder.is_dir() else ()
    versions = [path for path in children if path.name.isdecimal() and (path / "saved_model.pb").is_file()]
    if not versions:
        raise ValueError(f"{folder} is no SavedModel and has no <integer>/saved_model.pb in it")
    return max(versions, key=lambda path: int(path.name))


def options_of(arguments: Sequence[str]) -> argparse.Namespace:
    """The parsed arguments; a wrong one ends the process with status 2."""
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog=program(PREDICT), description=DESCRIPTION, formatter_class=layout)
    parser.add_argument("folder", type=Path, help="a SavedModel, or a folder with its versions")
    parser.add_argument(
        "files", type=Path, nargs="*", help="image files and folders; without any, test digits or scenes of them"
    )
    parser.add_argument("--count", type=int, default=10, help="how many digits or scenes (default: %(default)s)")
    parser.add_argument("--batch_size", type=int, default=32, help="images at a time (default: %(default)s)")
    limit = "refuse images of more pixels, 0: none (default: the export's limit, or 100,000,000)"
    parser.add_argument("--max_pixels", type=int, help=limit)
    least = "show objects from this score on, 0..1 (default: 0.3); detectors alone"
    parser.add_argument("--least_score", type=float, help=least)
    text = "write images with the boxes of their objects into this folder, as PNG; detectors alone"
    parser.add_argument("--draw", type=Path, metavar="FOLDER", help=text)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what is said to this file too")
    options = parser.parse_args(arguments)
    if not 1 <= options.count <= 350:
        parser.error(f"--count must be 1..350, not {options.count}")
    if options.batch_size < 1:
        parser.error(f"--batch_size must be 1 or more, not {options.batch_size}")
    if options.max_pixels is not None and options.max_pixels < 0:
        parser.error(f"--max_pixels must be 1 or more, or 0 for any number, not {options.max_pixels}")
    if options.least_score is not None and not 0 <= options.least_score <= 1:
        parser.error(f"--least_score must be 0..1, not {options.least_score:g}")
    if options.json is not None and (options.json.is_dir() or not options.json.parent.is_dir()):
        parser.error(f"--json must be a file in a folder that exists, not {options.json}")
    if options.draw is not None:
        require_drawing(parser, options.draw)
    return options


def require_drawing(parser: argparse.ArgumentParser, folder: Path) -> None:
    """Ends the process where nothing could be drawn into a folder."""
    if folder.exists() and not folder.is_dir():
        parser.error(f"--draw must be a folder, which need not exist yet; {folder} is a file")
    if not importlib.util.find_spec("PIL"):
        parser.error("--draw needs Pillow: pip install Pillow")


def main(arguments: Sequence[str]) -> int:
    """Returns the exit status: 0, 1 if a file could not be read, 2 if nothing could be done."""
    options = options_of(arguments)
    try:
        version = newest_version(options.folder)
        with process.quiet_imports(PREDICT):
            from . import asking
        return asking.ask(version, options)
    except BrokenPipeError:
        raise
    except Exception as error:
        said = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        print(f"{program(PREDICT)}: error: {said}", file=sys.stderr)
        return 2
