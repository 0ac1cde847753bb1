"""Version folders as TensorFlow Serving reads them, and writing one that appears whole or not at all."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import shutil
import uuid
from collections.abc import Iterator

NETWORK_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


class ExportError(RuntimeError):
    """An export that was begun and failed; its message is one line, and no half-written version remains."""


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
        ValueError: `version` is not an integer from 1 on, or its folder exists already.
    """
    existing = versions(network_folder)
    following = max(existing, default=0) + 1
    if version is None:
        return following
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise ValueError(f"version must be an integer from 1 on, or None for the next one; got {version!r}")
    if version in existing:
        raise ValueError(f"version {version} of {network_folder} exists already; the next free one is {following}")
    return version


def check_network_folder(folder: pathlib.Path) -> None:
    """Raises ValueError where TensorFlow Serving could not use the folder's name as the name of a model."""
    if not NETWORK_NAME.fullmatch(folder.name):
        raise ValueError(f"folder must end in a model's name of letters, digits, '_', '-' and '.'; got {folder.name!r}")
    if folder.name.isdigit():
        raise ValueError(f"folder must be the network's, its version is added to it; got {str(folder)!r}")
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"folder must be a directory or not exist yet; {folder} is a file")


@contextlib.contextmanager
def written_aside(network_folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Gives an empty folder beside the versions, and leaves nothing of it behind when the block ends.

    TensorFlow Serving polls the network's folder and loads every child whose name is an integer. The folder
    given here has another kind of name and lies on the same file system, so one rename within the block
    publishes it whole. If the block fails, the parents that were made for it are removed again too.
    """
    new_parents = [parent for parent in (network_folder, *network_folder.parents) if not parent.exists()]
    aside = network_folder / f".export-{uuid.uuid4().hex}"
    try:
        aside.mkdir(parents=True)
        yield aside
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        for parent in new_parents:
            # A parent that somebody else has put something into meanwhile stays.
            with contextlib.suppress(OSError):
                parent.rmdir()
        raise
    shutil.rmtree(aside, ignore_errors=True)


def replace_text(path: pathlib.Path, text: str) -> None:
    """Writes a text file so that a reader sees the former text or the new one, never a part."""
    aside = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    try:
        aside.write_text(text, encoding="utf-8")
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
