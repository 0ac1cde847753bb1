"""The benchmark of a teacher's cost: its turns, its table, and what refuses two sides that differ."""

import importlib
import sys
from types import SimpleNamespace

import pytest


@pytest.fixture(scope="module")
def teacher():
    return importlib.import_module("teacher")


class Side:
    """Answers as a worker, and notes what it is asked."""

    def __init__(self, name, log, **replies):
        self.name, self.log, self.replies = name, log, replies

    def ask(self, do, **given):
        self.log.append((self.name, do, given.get("form")))
        return self.replies[do](given) if callable(self.replies[do]) else self.replies[do]


def test_every_form_trains_in_every_turn_and_another_one_first(teacher):
    log = []
    sides = {name: Side(name, log, train=lambda given: {"seconds": 2.0 * given["steps"]}) for name in ("own", "peer")}
    forms = [("own", "none"), ("own", "folded"), ("peer", "float32"), ("peer", "bfloat16")]
    times = teacher.alternate(sides, forms, SimpleNamespace(turns=5, steps=3))
    assert all(found == [2.0] * 5 for found in times.values()) and list(times) == forms
    assert [log[4 * turn][::2] for turn in range(5)] == [*forms, forms[0]]


def test_a_row_has_ratios_to_pytorch_in_float32_and_to_its_fastest_form(teacher):
    times = {
        (teacher.OURS, "none"): [2.0, 2.0, 4.0],
        (teacher.OURS, "folded, bfloat16"): [1.0, 1.0, 1.0],
        (teacher.PEER, "float32"): [4.0, 4.0, 4.0],
        (teacher.PEER, "bfloat16"): [2.0, 3.0, 2.0],
    }
    found = teacher.rows(times, 100)
    assert all(len(cells) == len(teacher.HEADINGS) for cells in found)
    assert found[0] == ["tfdistill", "no saving", "50.0 (37.5–50.0)", "2.00 (1.50–2.00)", "1.00 (0.75–1.25)"]
    assert found[1][1:] == ["folded, bfloat16", "100.0 (100.0–100.0)", "4.00 (4.00–4.00)", "2.00 (2.00–2.50)"]
    assert found[2][:2] == ["PyTorch", "in float32"]


def test_sides_that_do_not_train_the_same_are_refused(teacher, capsys):
    about = {"kind": "CPU", "device": "CPU", "version": "1", "vectors": "AVX2"}
    forms = {"forms": {}, "seconds": {"student eager": 0.5}, "failed": {"compiled": "no compiler"}}
    own = Side("own", [], about=about, prepare={"case": {}, "forms": ["none", "ahead"]})
    one_thread = Side("own", [], prepare={"forms": ["ahead"]})

    def prepared(peer):
        workers = {teacher.OURS: own, teacher.ONE_THREAD: one_thread, teacher.PEER: peer}
        return teacher.prepared(workers, "folder", arguments)

    arguments = teacher.parsed(["--quick"])
    assert (arguments.teacher, arguments.student, arguments.batch_size) == ("resnet14", "resnet8", 8)
    error = sys.modules["workers"].WorkerError
    for difference in (0.03, float("nan")):
        peer = Side("peer", [], about=about, prepare={**forms, "difference": difference})
        with pytest.raises(error, match="the first steps differ by"):
            prepared(peer)
    found, *_ = prepared(Side("peer", [], about=about, prepare={**forms, "difference": 0.001}))
    ours = [(teacher.OURS, "none"), (teacher.OURS, "ahead"), (teacher.ONE_THREAD, "ahead")]
    assert found == [*ours, (teacher.PEER, "float32"), (teacher.PEER, "bfloat16")]
    shown = capsys.readouterr().err
    assert "PyTorch, compiled: not possible here: no compiler" in shown and "student eager: 500.0 ms" in shown
    with pytest.raises(error, match="computes on CPU and PyTorch on GPU"):
        prepared(Side("peer", [], about={**about, "kind": "GPU", "device": "GPU"}))
