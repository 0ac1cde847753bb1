"""The benchmark of detectors: its turns, its table, its parts, and what refuses two sides that differ."""

import importlib
import sys

import pytest


@pytest.fixture(scope="module")
def detection():
    return importlib.import_module("detection")


class Side:
    """Answers as a worker, and notes that it was asked."""

    def __init__(self, name, log, seconds):
        self.name, self.log, self.seconds = name, log, seconds

    def ask(self, do, steps):
        self.log.append(self.name)
        return {"seconds": self.seconds * steps}


def test_sides_train_in_turns_and_a_row_has_the_ratio_of_each(detection):
    log, arguments = [], detection.parsed(["--turns=3", "--steps=4"])
    own, peer = Side("own", log, 2.0), Side("peer", log, 3.0)
    times = detection.alternate({detection.OURS: own, detection.PEER: peer}, arguments)
    assert log == ["own", "peer", "peer", "own", "own", "peer"]
    assert times == {detection.OURS: [2.0] * 3, detection.PEER: [3.0] * 3}
    found = detection.rows({detection.OURS: [2.0, 2.0, 4.0], detection.PEER: [3.0] * 3}, 8)
    assert found[0] == ["tfdistill", "2.000 (2.000–3.000)", "4.00 (3.00–4.00)", "1.50 (1.12–1.50)"]
    assert found[1][0] == "PyTorch" and found[1][-1] == "1.00 (1.00–1.00)"
    assert all(len(cells) == len(detection.HEADINGS) for cells in found)


def test_sides_that_do_not_train_the_same_are_refused(detection):
    error = sys.modules["workers"].WorkerError
    same = {"parameters": {"network1": 3}, "difference": 1e-4}
    detection.require_same(same, same)
    with pytest.raises(error, match=r"parameters differ: tfdistill \{'network1': 3\}, PyTorch \{'network1': 4\}"):
        detection.require_same(same, {**same, "parameters": {"network1": 4}})
    for difference in (0.03, float("nan")):
        with pytest.raises(error, match="the first steps differ by"):
            detection.require_same(same, {**same, "difference": difference})


def test_evaluations_have_larger_batches_and_wrong_numbers_are_refused(detection, capsys):
    assert detection.parsed([]).batch_size == 8 and detection.parsed(["--evaluation"]).batch_size == 32
    assert detection.parsed(["--quick"]).batch_size == 2 and detection.parsed(["--quick", "--steps=3"]).steps == 3
    with pytest.raises(SystemExit):
        detection.parsed(["--turns=0"])
    assert "--turns: must be at least 1, not 0" in capsys.readouterr().err


def test_a_made_up_batch_has_objects_with_area_and_padding(detection):
    worker = importlib.import_module("detection_worker")
    labels = worker.made_up_batch(6)["labels"]
    is_object = labels[..., 4] >= 0
    assert is_object.any(axis=1).all() and not is_object.all()
    assert (labels[..., 2:4] > labels[..., :2]).all() and labels[..., :4].max() <= 1.0
