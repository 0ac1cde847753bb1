"""What an installed tfdistill consists of, and that nothing else is imported under its name."""

import json
import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def modules(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.py"))


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*.*")}


def test_a_build_has_every_module_every_flagfile_and_every_table(tmp_path):
    source = tmp_path / "source"  # setuptools writes beside what it builds
    for name in ("tfdistill", "configs"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "setup.py", source)
    stale = tmp_path / "built" / "tfdistill" / "configs" / "renamed_since.flags"
    stale.parent.mkdir(parents=True)
    stale.touch()
    command = [sys.executable, "setup.py", "-q", "build_py", f"--build-lib={tmp_path / 'built'}"]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    package = tmp_path / "built" / "tfdistill"
    assert modules(package) == modules(ROOT / "tfdistill")
    assert (package / "py.typed").is_file()
    assert names(package / "configs") == names(ROOT / "configs")
    assert {"ie_dml.flags", "afd_table3.toml"} < names(package / "configs")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "built")}
    command = [sys.executable, "-m", "tfdistill", "table", "few_images", "--rows=dml_joint", "--notrain"]
    done = subprocess.run(command, cwd=source.parent, env=environment, capture_output=True, text=True, check=True)
    assert "DML, joint, T = 3  0 of 3" in done.stdout and not done.stderr, "a table of the package, without a clone"


def test_a_folder_of_the_packages_name_is_not_taken_for_the_package(tmp_path):
    """A clone called tfdistill lies in the folder where Python is started; it has no __init__.py of its own."""
    installed = next((Path(path) for path in _editable_paths()), None)
    if installed is None or not installed.samefile(ROOT):
        pytest.skip("needs an environment where launch/environment.sh has installed this repository")
    (tmp_path / "tfdistill" / "docs").mkdir(parents=True)
    program = "import importlib.util; print(importlib.util.find_spec('tfdistill').origin)"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(ROOT / "tfdistill" / "__init__.py")


def _editable_paths() -> list[str]:
    """Where the editable installation of this environment, if it is one, has its source."""
    try:
        said = json.loads(metadata.distribution("tfdistill").read_text("direct_url.json") or "{}")
    except metadata.PackageNotFoundError:
        return []
    editable = said.get("dir_info", {}).get("editable", False)
    return [said["url"].removeprefix("file://")] if editable else []
