"""The command `predict`: what it is told, and what can be refused without TensorFlow."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from . import process
from .calling import PREDICT, program

DESCRIPTION = """Asks an exported network, with TensorFlow and nothing of tfdistill.

    %(prog)s saved_models/quickstart/resnet14              test digits of scikit-learn
    %(prog)s saved_models/my_run/resnet32 cat.jpg photos   image files of your own, and folders

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
    parser.add_argument("files", type=Path, nargs="*", help="image files and folders; without any, test digits")
    parser.add_argument("--count", type=int, default=10, help="how many digits (default: %(default)s)")
    parser.add_argument("--batch_size", type=int, default=32, help="images at a time (default: %(default)s)")
    limit = "refuse images of more pixels, 0: none (default: the export's limit, or 100,000,000)"
    parser.add_argument("--max_pixels", type=int, help=limit)
    options = parser.parse_args(arguments)
    if not 1 <= options.count <= 350:
        parser.error(f"--count must be 1..350, not {options.count}")
    if options.batch_size < 1:
        parser.error(f"--batch_size must be 1 or more, not {options.batch_size}")
    if options.max_pixels is not None and options.max_pixels < 0:
        parser.error(f"--max_pixels must be 1 or more, or 0 for any number, not {options.max_pixels}")
    return options


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
