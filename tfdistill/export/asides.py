"""Folders that an export is written in before it is published, and what killed exports leave of them."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pathlib
import shutil
import uuid
from collections.abc import Iterator

from tfdistill.export.folders import parents_removed_on_failure

PREFIX = ".export-"
# Before asides, `models.config` was written under such a name.
FORMER_REMAINS = ".models.config-*"


@contextlib.contextmanager
def written_aside(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Gives an empty folder inside `folder`, and leaves nothing of it behind when the block ends.

    TensorFlow Serving polls a network's folder and loads every child whose name is an integer. The folder given here
    has another kind of name and lies on the same file system, so one rename within the block publishes what is in it
    whole. If the block fails, the parents that were made for it are removed again too.

    The folder is locked as long as its process lives. What processes that were killed have left is removed first; a
    folder of one that lives is not touched.
    """
    remove_remains(folder)
    with parents_removed_on_failure(folder):
        aside, lock = _locked_folder(folder)
        try:
            yield aside
        finally:
            shutil.rmtree(aside, ignore_errors=True)
            os.close(lock)


def try_writing(folder: pathlib.Path) -> None:
    """Raises OSError where nothing can be written into a folder, which need not exist; the trial leaves no trace."""
    with contextlib.suppress(_EndOfTrial), written_aside(folder) as aside:
        (aside / "trial").write_bytes(bytes(4096))
        raise _EndOfTrial


class _EndOfTrial(Exception):
    """Ends a block so that what was made for it is removed."""


def remove_remains(folder: pathlib.Path) -> None:
    """Removes the asides in a folder whose processes are dead."""
    for path in folder.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                # Where the file system has no locks this fails, and the folder stays: it may be another machine's.
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(lock)
    for path in folder.glob(FORMER_REMAINS):
        with contextlib.suppress(OSError):
            path.unlink()


def replace_text(path: pathlib.Path, text: str) -> None:
    """Writes a text file so that a reader sees the former text or the new one, never a part."""
    with written_aside(path.parent) as aside:
        (aside / path.name).write_text(text, encoding="utf-8")
        os.replace(aside / path.name, path)


def _locked_folder(parent: pathlib.Path) -> tuple[pathlib.Path, int]:
    """A new folder and the descriptor that locks it: the lock ends with the process, however that ends."""
    while True:
        parent.mkdir(parents=True, exist_ok=True)
        aside = parent / f"{PREFIX}{uuid.uuid4().hex}"
        aside.mkdir()
        try:
            lock = os.open(aside, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue  # another process took it for remains before it could be locked
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                os.close(lock)
                continue
        if aside.is_dir():
            return aside, lock
        os.close(lock)
