"""Flagfiles and rows of tables by the method that they train by."""

from tfdistill.commands import bundled
from tfdistill.commands.runs_of_method import runs_of


def test_rows_are_listed_by_table_with_their_titles():
    found = runs_of("one")
    rows = found["configs/afd_table3.toml: Online methods, two networks of one architecture, CIFAR-100"]
    assert len(rows) == 7 and rows[0] == ("one_resnet20_resnet20", "two ResNet-20, ONE")
    assert "one.flags" in dict(found["configs/"]) and "configs/base/" not in found


def test_a_row_that_cannot_be_run_says_so():
    rows = runs_of("dml")["configs/afd_table7.toml: Distances between the feature maps of two networks, CIFAR-100"]
    assert rows[0] == ("dml_resnet32_resnet32", "two ResNet-32, DML (cannot be run yet)") and len(rows) == 3


def test_cells_of_a_grid_are_one_line(tmp_path, monkeypatch):
    (tmp_path / "configs").mkdir()
    table = '[flags]\nmethod = "dml"\nnetworks = "resnet8"\n[grid]\nepochs = [1, 2, 3]\n[rows.alone]\n'
    (tmp_path / "configs" / "made.toml").write_text(table)
    monkeypatch.setattr(bundled, "configs", lambda: tmp_path / "configs")
    cells = ("epochs1", "and 2 other cells of the grid of epochs")
    assert runs_of("dml") == {"configs/made.toml: made": [("alone", "alone"), cells]}
    assert runs_of("afd") == {}
