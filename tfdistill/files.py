"""Small text files that a reader finds whole, and one line that names the file where one cannot be written or read."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# What a disk answers that takes no more: full, over quota, read-only.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


class FileError(OSError):
    """A file could not be written; the message is one line that names it."""


def write_text(path: Path, text: str) -> None:
    """`write_bytes` of text in UTF-8."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Writes aside, then renames: a reader sees the old file or the new one, and an error leaves nothing behind.

    Raises:
        FileError: the file system refused; the old file is untouched.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with aside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except OSError as error:
        raise FileError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """`write_text` of indented JSON."""
    write_text(path, json.dumps(values, indent=2) + "\n")


def read_json(path: Path, remedy: str) -> dict[str, Any]:
    """What `write_json` wrote.

    Args:
        path: the file.
        remedy: how to go on if somebody has damaged it, for the message.

    Raises:
        ValueError: the file holds no JSON object, or cannot be read; in one line.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror or error}") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: is damaged: {error.msg} in line {error.lineno}; {remedy}") from None
    except (ValueError, RecursionError):  # the first: bytes that are no text
        raise ValueError(f"{path}: is damaged: it is no JSON; {remedy}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path}: is damaged: it is no JSON object; {remedy}")
    return values


def between(page: str, begins: str, ends: str, new: str) -> str:
    """A page with something else between two of its lines.

    Args:
        page: its text.
        begins: the line before, which stays, with its end.
        ends: the line after, likewise.
        new: what stands there from now on.

    Raises:
        ValueError: the page lacks one of the lines, or has them the other way round.
    """
    before, found, rest = page.partition(begins)
    _, mark, after = rest.partition(ends)
    if not found or not mark:
        raise ValueError(f"the page must have the lines {begins.strip()!r} and {ends.strip()!r}")
    return f"{before}{begins}{new}{ends}{after}"


def sweep(folder: Path) -> None:
    """Removes what writers that were killed have left aside in `folder`; those of living processes stay."""
    for path in folder.glob(".*"):
        found = re.fullmatch(r"\..+\.([0-9]+)", path.name)
        if found and not _lives(int(found[1])):
            with contextlib.suppress(OSError):
                path.unlink()


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True  # another user's
    return process != os.getpid()
