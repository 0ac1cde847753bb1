"""Flagfiles by the names that `configs/` gives them, from the repository and from an installed package."""

import shutil
from pathlib import Path

import pytest

from tfdistill.commands import bundled, flagfiles

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
SMALL, ROW = "small/afd_resnet20", "afd_table3:afd_resnet20_resnet20"
IN_FILE = ROW.replace(":", ".toml:")


@pytest.mark.parametrize(
    ("name", "path"),
    [
        *((name, "quickstart.flags") for name in ("quickstart", "quickstart.flags", "configs/quickstart.flags")),
        *((name, f"{SMALL}.flags") for name in (SMALL, f"{SMALL}.flags")),
        *((name, IN_FILE) for name in (ROW, IN_FILE, f"configs/{IN_FILE}")),
    ],
)
def test_a_flagfile_or_a_row_is_found_by_its_name_from_any_folder(name, path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = flagfiles.expand_flagfiles([f"--flagfile={name}", "--seed=3"])
    assert found == [*flagfiles.expand_flagfiles([f"--flagfile={CONFIGS / path}"]), "--seed=3"]
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
    assert bundled.flagfile(SMALL) == package / "configs" / f"{SMALL}.flags"
    assert bundled.table("afd_table3") == package / "configs" / "afd_table3.toml"
    assert "--method=afd" in flagfiles.expand_flagfiles([f"--flagfile={ROW}"])
    assert "--method=ie_dml" in flagfiles.expand_flagfiles(["--flagfile=ie_dml"])  # whose files include others


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("quikstart", "quickstart"),
        ("afd_tabel3:afd_resnet20_resnet20", ROW),
        ("configs/ie_dlm.flags", "ie_dml"),
        # Names from before tables were files.
        ("afd_table3/afd_resnet20_resnet20", ROW),
        ("configs/afd_table3/afd_resnet20_resnet20.flags", ROW),
    ],
)
def test_an_unknown_name_is_told_the_nearest(name, near, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError) as caught:
        flagfiles.expand_flagfiles([f"--flagfile={name}"])
    assert str(caught.value) == f"flagfile: there is no file {name!r}; nearest of those in configs/: {near}"


@pytest.mark.parametrize("name", ["../configs/quickstart", "/quickstart", "configs", "small", "", "."])
def test_nothing_else_is_taken_for_a_name(name):
    assert bundled.flagfile(name) is None


def test_a_table_alone_and_an_unknown_row_are_told_a_row():
    for name, said in (
        ("afd_table3", "is a table; give one of its rows, such as "),
        ("afd_table3:afd_resnet20", "has no row afd_resnet20; nearest: afd_resnet20_resnet20"),
    ):
        with pytest.raises(ValueError, match=r"afd_table3\.toml") as caught:
            flagfiles.expand_flagfiles([f"--flagfile={name}"])
        assert said in str(caught.value) and "\n" not in str(caught.value)
