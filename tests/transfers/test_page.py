"""The page on methods lists the transfers that there are, and its examples run."""

import re
from pathlib import Path

import tensorflow as tf

import tfdistill
from tfdistill.transfers import TRANSFERS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "methods.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("\n## Transfers\n")[2].partition("\n## ")[0]


def test_every_transfer_has_its_row():
    rows = re.findall(r"^\| `(\w+)` \| .+ \| (.+) \|$", SECTION, re.MULTILINE)
    assert rows == [(name, transfer.paper) for name, transfer in TRANSFERS.items()]


def test_the_examples_run():
    blocks = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)
    assert len(blocks) == 2
    names = {"tfdistill": tfdistill, "tf": tf}
    for block in blocks:
        exec(block, names)
    distiller = tfdistill.Distillation(names["student"], names["teacher"], [names["Embedding"]("embedding", 1.0)])
    assert distiller.phase.updates()[0].terms == {"cross_entropy": 1.0, "embedding": 1.0}
