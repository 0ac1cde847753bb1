"""The code of docs/python.md runs from its first block to its last."""

import re
from pathlib import Path

import pytest
import tensorflow as tf

import tfdistill
from tfdistill.data import ReadyData

PAGE = Path(__file__).resolve().parents[1] / "docs" / "python.md"


def blocks():
    found = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert len(found) > 5
    return found


@pytest.mark.filterwarnings("ignore:networks. several are called")
def test_the_blocks_run_in_their_order(tmp_path, monkeypatch, plain_decoding):
    """On a batch of each split and without graphs, which would take minutes to trace; with one export."""
    load = tfdistill.load_data

    def little(name, **arguments):
        whole = load(name, **{**arguments, "batch_size": 8})
        return ReadyData(whole.train.take(1), whole.test.take(1), None, whole.dataset)

    monkeypatch.setattr(tfdistill, "load_data", little)
    monkeypatch.chdir(tmp_path)
    names = {}
    tf.config.run_functions_eagerly(True)
    try:
        for block in blocks()[:-1]:
            exec(compile(block, str(PAGE), "exec"), names)
    finally:
        tf.config.run_functions_eagerly(False)
    assert {"loss", "val_loss", "resnet8_1/mutual", "val_ensemble/accuracy"} <= set(names["history"])
    assert (tmp_path / "best.weights.h5").is_file()
    exec(compile(blocks()[-1], str(PAGE), "exec"), names)
    assert (tmp_path / "saved_models" / "mine" / "student" / "1" / "saved_model.pb").is_file()
