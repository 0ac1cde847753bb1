"""Version folders as TensorFlow Serving reads them, and writing one that appears whole or not at all."""

from __future__ import annotations

import contextlib
import pathlib
import re
from collections.abc import Iterator

NETWORK_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
# TensorFlow Serving reads versions as signed integers of 64 bits.
LARGEST_VERSION = 2**63 - 1


class ExportError(RuntimeError):
    """An export that was begun and failed; its message is one line, and no half-written version remains."""


class FolderError(ValueError):
    """A folder that nothing can be exported to; its message is one line, and nothing was written."""


def first_line(error: BaseException) -> str:
    """Returns what an error says, cut to one line; TensorFlow's own messages bring their stack along."""
    return (str(error).strip() or type(error).__name__).split("\n")[0]


def is_saved_model(folder: pathlib.Path) -> bool:
    """Tells whether a folder is itself a SavedModel."""
    return (folder / "saved_model.pb").is_file()


def versions(network_folder: pathlib.Path) -> dict[int, pathlib.Path]:
    """Finds the children of a network's folder whose names are positive integers, in ascending order."""
    if not network_folder.is_dir():
        return {}
    children = [child for child in network_folder.iterdir() if re.fullmatch("[0-9]+", child.name)]
    return {int(child.name): child for child in sorted(children, key=lambda child: int(child.name))}


def choose_version(network_folder: pathlib.Path, version: int | None) -> int:
    """Returns `version` if it is free, or the number after the highest one when it is None.

    Raises:
        FolderError: no number is left.
        ValueError: `version` is not an integer from 1 on, or its folder exists already.
    """
    existing = versions(network_folder)
    following = max(existing, default=0) + 1
    if version is None:
        if following > LARGEST_VERSION:
            last = existing[following - 1]
            raise FolderError(f"folder {last} leaves no number for a version after it; rename or remove it")
        return following
    if isinstance(version, bool) or not isinstance(version, int) or not 1 <= version <= LARGEST_VERSION:
        raise ValueError(f"version must be an integer from 1 to 2^63-1, or None for the next one; got {version!r}")
    if version in existing:
        raise ValueError(f"version {version} of {network_folder} exists already; the next free one is {following}")
    return version


def check_network_folder(folder: pathlib.Path) -> None:
    """Raises FolderError where TensorFlow, or TensorFlow Serving, could not use the folder or its name."""
    if not NETWORK_NAME.fullmatch(folder.name):
        raise FolderError(
            f"folder must end in a model's name of letters, digits, '_', '-' and '.'; got {folder.name!r}"
        )
    if folder.name.isdigit():
        raise FolderError(f"folder must be the network's, its version is added to it; got {str(folder)!r}")
    check_path(folder)
    for path in (folder, *folder.parents):
        if path.exists() and not path.is_dir():
            raise FolderError(f"folder must be a directory or not exist yet; {path} is a file")


def check_path(folder: pathlib.Path) -> None:
    """Raises FolderError for a path that TensorFlow would not write to, or to another place than Python."""
    text = str(folder)
    with contextlib.suppress(UnicodeEncodeError):
        text.encode()
        if re.match(r"[a-z0-9]+:/", text):
            raise FolderError(f"folder must lie on a file system of this machine; got {text!r}")
        if text.isprintable():
            return
    raise FolderError(f"folder must have a path of printable characters in UTF-8, which TensorFlow reads; got {text!r}")


@contextlib.contextmanager
def parents_removed_on_failure(folder: pathlib.Path) -> Iterator[None]:
    """Removes the folder and its parents again, if the block had to make them and fails."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        yield
    except BaseException:
        for path in made:
            # One that somebody else has put something into meanwhile stays.
            with contextlib.suppress(OSError):
                path.rmdir()
        raise
