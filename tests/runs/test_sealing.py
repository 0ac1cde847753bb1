"""Results with a seal: what is read back is known for what was written, and an edit is found."""

import json

import pytest

from tfdistill.files import read_json, write_json
from tfdistill.runs.sealing import broken, sealed

RESULTS = {"step": 4, "networks": ({"name": "a", "last": {"accuracy": 0.1 + 0.2}},), "speed": None, "bad": float("nan")}


@pytest.fixture
def written(tmp_path):
    (tmp_path / "epochs.csv").write_text("epoch,step\n1,4\n")
    write_json(tmp_path / "results.json", sealed(RESULTS, tmp_path))
    return tmp_path


def read(folder):
    return read_json(folder / "results.json", "")


def test_what_was_written_is_whole_and_keeps_its_content(written):
    found = read(written)
    assert broken(found, written) == ""
    assert found.pop("seal") and json.dumps(found) == json.dumps(RESULTS)


def test_a_run_of_no_epoch_has_a_seal_too(tmp_path):
    write_json(tmp_path / "results.json", sealed(RESULTS, tmp_path))
    assert broken(read(tmp_path), tmp_path) == ""
    (tmp_path / "epochs.csv").write_text("epoch\n1\n")
    assert broken(read(tmp_path), tmp_path).startswith("epochs.csv was edited")


@pytest.mark.parametrize(
    ("before", "after"),
    [("0.30000000000000004", "0.4"), ('"step": 4', '"step": 5'), ('"epochs.csv": "', '"epochs.csv": "a')],
)
def test_an_edit_of_the_results_is_found(written, before, after):
    file = written / "results.json"
    text = file.read_text()
    assert text.count(before) == 1
    file.write_text(text.replace(before, after))
    assert broken(read(written), written).startswith("results.json was edited after the run wrote it; remove results")


def test_an_edit_of_the_epochs_is_found(written):
    (written / "epochs.csv").write_text("epoch,step\n1,5\n")
    assert broken(read(written), written).startswith("epochs.csv was edited after")
    (written / "epochs.csv").unlink()
    assert broken(read(written), written).startswith("epochs.csv was edited after")


@pytest.mark.parametrize("seal", [None, "abc", 3])
def test_results_without_a_seal_are_of_another_version(written, seal):
    assert "from another version of tfdistill" in broken({**read(written), "seal": seal}, written)
