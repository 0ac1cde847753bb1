"""Flagfiles by the names that `configs/` gives them, from the repository and from an installed package."""

import shutil
from pathlib import Path

import pytest

from tfdistill.commands import bundled, flagfiles

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
ROW = "afd_table3/afd_resnet20_resnet20"


@pytest.mark.parametrize("name", ["quickstart", "quickstart.flags", "configs/quickstart.flags", ROW, f"{ROW}.flags"])
def test_a_flagfile_is_found_by_its_name_from_any_folder(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    below = name.removeprefix("configs/").removesuffix(".flags")
    found = flagfiles.expand_flagfiles([f"--flagfile={name}", "--seed=3"])
    assert found == [*flagfiles.expand_flagfiles([f"--flagfile={CONFIGS / below}.flags"]), "--seed=3"]
    assert any(flag.startswith("--method=") for flag in found)


def test_a_file_at_that_path_comes_first_and_a_folder_does_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("quickstart").mkdir()
    assert "--run=quickstart" in flagfiles.expand_flagfiles(["--flagfile=quickstart"])
    Path("quickstart").rmdir()
    Path("quickstart").write_text("--epochs=3\n")
    assert flagfiles.expand_flagfiles(["--flagfile=quickstart"]) == ["--epochs=3"]


def test_an_installed_package_has_them_inside(tmp_path, monkeypatch):
    package = tmp_path / "tfdistill"
    shutil.copytree(CONFIGS, package / "configs")
    monkeypatch.setattr(bundled, "PACKAGE", package)
    monkeypatch.setattr(bundled, "REPOSITORY", tmp_path)
    assert bundled.flagfile(ROW) == package / "configs" / f"{ROW}.flags"
    assert "--method=ie_dml" in flagfiles.expand_flagfiles(["--flagfile=ie_dml"])  # whose files include others


@pytest.mark.parametrize(
    ("name", "near"),
    [("quikstart", "quickstart"), ("afd_table3/afd_resnet20_resnet2", ROW), ("configs/ie_dlm.flags", "ie_dml")],
)
def test_an_unknown_name_is_told_the_nearest(name, near, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError) as caught:
        flagfiles.expand_flagfiles([f"--flagfile={name}"])
    assert str(caught.value) == f"flagfile: there is no file {name!r}; nearest of those in configs/: {near}"


@pytest.mark.parametrize("name", ["../configs/quickstart", "/quickstart", "configs", "small", "", "."])
def test_nothing_else_is_taken_for_a_name(name):
    assert bundled.flagfile(name) is None
