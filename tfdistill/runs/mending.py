"""What killed exports have left, set right; without TensorFlow, because a finished run needs nothing else."""

from __future__ import annotations

from pathlib import Path

from tfdistill import export


def mend(run_folder: Path) -> None:
    """Removes what killed exports have left in a run's exports, and repairs models.config.

    Raises:
        OSError: it cannot be written.
    """
    for folder in (run_folder, *run_folder.glob("*/")):
        export.remove_remains(folder)
    export.repair_models_config(run_folder)
