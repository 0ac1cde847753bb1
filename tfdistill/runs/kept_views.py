"""What teachers answered, on disk: a folder for each view of the training images, whole or not there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfdistill.files import FileError
from tfdistill.runs.checkpoints.files import MANIFEST, WRITING, make_folder, reason, remove, sha256, sync, sync_folder

ANSWERS, KIND = "answers.f16", np.dtype("<f2")


class KeptViews:
    """The answers to every training image in each view, float16, a row for each image in the order of the split.

    Each view is a folder of its own, written aside, synced and renamed: a kill leaves the views before it, and a
    damaged one is made again alone.

    Args:
        folder: of the run's views; made when the first is written.
        examples: rows of a view.
        width: values in a row.
    """

    def __init__(self, folder: Path, examples: int, width: int) -> None:
        self.folder, self.shape = folder, (examples, width)

    @property
    def view_bytes(self) -> int:
        """What a view takes."""
        return int(np.prod(self.shape)) * KIND.itemsize

    def place(self, view: int) -> Path:
        """The folder of a view."""
        return self.folder / f"view_{view:03}"

    def is_there(self, view: int) -> bool:
        """Whether a view was finished, perhaps damaged since."""
        return self.place(view).exists()

    def room(self) -> int:
        """Bytes that are free where the views lie, or will lie."""
        above = next(one for one in (self.folder, *self.folder.absolute().parents) if one.exists())
        return shutil.disk_usage(above).free

    def problem(self, view: int, told: Mapping[str, Any]) -> str:
        """Why a view that is there cannot be used; empty if it can.

        Args:
            view: which.
            told: what its answers depend on, as `write` was given it.
        """
        try:
            manifest = json.loads((self.place(view) / MANIFEST).read_text(encoding="utf-8"))
            if manifest["told"] != json.loads(json.dumps(told)):
                return "other teachers, images or flags made it"
            file = self.place(view) / ANSWERS
            if file.stat().st_size != self.view_bytes or sha256(file) != manifest["sha256"]:
                return f"{ANSWERS} does not match its checksum"
        except OSError as error:
            return reason(error)
        except (ValueError, KeyError, TypeError, RecursionError):
            return f"{MANIFEST} is damaged"
        return ""

    def write(self, view: int, rows: Iterable[np.ndarray], told: Mapping[str, Any]) -> None:
        """Writes a view; one that is there is removed first, so that its room is free.

        Args:
            view: which.
            rows: float16 [some, width], all together as many as there are examples.
            told: what the answers depend on, as JSON can hold it.

        Raises:
            FileError: the file system refused; there is no such view then.
        """
        final = self.place(view)
        aside = final.with_name(final.name + WRITING)
        try:
            make_folder(self.folder)
            remove(final)
            remove(aside)
            aside.mkdir()
            # Written and not mapped into memory: a full disk is an error here, and the end of the process there.
            with (aside / ANSWERS).open("wb") as file:
                for some in rows:
                    file.write(np.ascontiguousarray(some, KIND).tobytes())
                sync(file)
            with (aside / MANIFEST).open("w", encoding="utf-8") as file:
                json.dump({"told": told, "sha256": sha256(aside / ANSWERS)}, file, indent=1)
                sync(file)
            sync_folder(aside)
            aside.rename(final)
            sync_folder(self.folder)
        except OSError as error:
            raise FileError(f"{final}: cannot be written: {reason(error)}") from error
        finally:
            shutil.rmtree(aside, ignore_errors=True)  # which is there no more where all went well

    def sweep(self) -> None:
        """Removes what a process that was killed has left half written."""
        for path in self.folder.glob(f"*{WRITING}"):
            shutil.rmtree(path, ignore_errors=True)

    def read(self, view: int) -> np.ndarray:
        """The rows of a view, float16, which stay on disk until they are asked for."""
        return np.asarray(np.memmap(self.place(view) / ANSWERS, KIND, "r", shape=self.shape))
