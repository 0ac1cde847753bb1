"""Durable checkpoints of arrays: written aside and renamed, verified when read, never silently started over.

On disk a checkpoint is a folder `step_00001234` with two files: `arrays.npz`, which `numpy.load` opens, and
`manifest.json`, which states the step, the caller's metadata, every array's shape and dtype, the SHA-256
of `arrays.npz`, and its own. A folder with a suffix is one that a save was busy with: `.writing` is not a
checkpoint yet, `.replaced` stands in for a checkpoint until the save that replaces it has finished.
"""

from typing import TYPE_CHECKING

from tfdistill import lazy

if TYPE_CHECKING:
    from tfdistill.runs.checkpoints.files import MANIFEST, CheckpointError
    from tfdistill.runs.checkpoints.fitting import assign, require_fit
    from tfdistill.runs.checkpoints.reading import Checkpoint, exist, newest, read
    from tfdistill.runs.checkpoints.writing import leave_alone, save, tidy
else:
    __getattr__, __dir__ = lazy.attributes(__name__)

__all__ = [
    "MANIFEST",
    "Checkpoint",
    "CheckpointError",
    "assign",
    "exist",
    "leave_alone",
    "newest",
    "read",
    "require_fit",
    "save",
    "tidy",
]
