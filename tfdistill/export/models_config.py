"""`models.config`, the list of a run's exported networks that TensorFlow Serving is started with."""

from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Sequence

from tfdistill.export.asides import replace_text
from tfdistill.export.folders import NETWORK_NAME, is_saved_model, versions

CONFIG_FILE = "models.config"
# Where the container image tensorflow/serving keeps its models.
CONTAINER_ROOT = "/models"


def write_models_config(run_folder: str | pathlib.Path, *, root: str = CONTAINER_ROOT) -> pathlib.Path:
    """Writes `models.config`, the list of a run's exported networks for the server's --model_config_file.

    Args:
        run_folder: the folder of the networks' folders, of which those with at least one version are listed.
        root: absolute path at which the server sees `run_folder`; the default is where the container image
            tensorflow/serving keeps its models.

    Returns:
        The path of the file, which is replaced as a whole.

    Raises:
        ValueError: `run_folder` is no directory, or `root` is relative, which the server refuses.
    """
    run_folder = pathlib.Path(run_folder)
    if not run_folder.is_dir():
        raise ValueError(f"run_folder must be a directory that holds exported networks; {run_folder} is none")
    if not root.startswith("/"):
        raise ValueError(f"root must be an absolute path, as the server sees it; got {root!r}")
    path = run_folder / CONFIG_FILE
    replace_text(path, _models_config(_exported_networks(run_folder), root))
    return path


def repair_models_config(run_folder: str | pathlib.Path) -> bool:
    """Writes `models.config` anew where it is missing or does not list exactly the networks that are exported.

    An export that was killed after its version was in place leaves such a list. A list that somebody has written for
    another root than the container's keeps that root.

    Args:
        run_folder: the folder of the networks' folders; one that does not exist, or that holds no export, stays so.

    Returns:
        Whether the file was written.

    Raises:
        OSError: it cannot be written.
    """
    run_folder = pathlib.Path(run_folder)
    path = run_folder / CONFIG_FILE
    names = _exported_networks(run_folder) if run_folder.is_dir() else []
    if not names:
        return False
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        text = ""
    root = _root_of(text)
    if text == _models_config(names, root):
        return False
    write_models_config(run_folder, root=root)
    return True


def _root_of(text: str) -> str:
    """The root that a list was written for; the container's where it does not say."""
    try:
        found = [json.loads(quoted) for quoted in re.findall(r'base_path: (".*")', text)]
    except ValueError:
        return CONTAINER_ROOT
    roots = {path.rpartition("/")[0] or "/" for path in found}
    return roots.pop() if len(roots) == 1 and all(path.startswith("/") for path in found) else CONTAINER_ROOT


def _models_config(names: Sequence[str], root: str) -> str:
    entries = [
        "  config {\n"
        f"    name: {json.dumps(name)}\n"
        f"    base_path: {json.dumps(root.rstrip('/') + '/' + name, ensure_ascii=False)}\n"
        '    model_platform: "tensorflow"\n'
        "  }\n"
        for name in names
    ]
    return "model_config_list {\n" + "".join(entries) + "}\n"


def _exported_networks(run_folder: pathlib.Path) -> list[str]:
    return sorted(
        child.name
        for child in run_folder.iterdir()
        if NETWORK_NAME.fullmatch(child.name) and any(map(is_saved_model, versions(child).values()))
    )
