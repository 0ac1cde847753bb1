"""The page of the methods lists what there is, as the code says it, and the benchmark that writes it works."""

import argparse
import importlib.util
from pathlib import Path

import pytest

from tfdistill.methods import METHODS
from tfdistill.optimizers import PROTOCOLS


@pytest.fixture(scope="module")
def cost():
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "cost.py"
    spec = importlib.util.spec_from_file_location("benchmarks_cost", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_list_is_up_to_date(cost):
    page = cost.PAGE.read_text(encoding="utf-8")
    assert cost.between(page, cost.LIST_BEGINS, cost.LIST_ENDS, cost.method_list()) == page


def test_the_costs_are_of_methods_that_there_are(cost):
    costs = cost.PAGE.read_text(encoding="utf-8").partition(cost.COST_BEGINS)[2].partition(cost.COST_ENDS)[0]
    named = [line.split("|")[1].strip(" `") for line in costs.splitlines() if line.startswith("| `")]
    assert set(named) <= set(METHODS)
    assert len(set(named)) == len(named)


def test_helpers_are_counted_by_kind_and_updates_by_group(cost):
    afd = cost.build("afd", ("resnet8", "resnet8"))
    assert cost.builds(afd) == "2 × discriminator"
    assert [cost.order(one) for one in afd.plan] == ["together: 2 × networks, 2 × features, 2 × discriminators"]
    assert cost.parameters([*afd.networks, afd.networks[0]]) == 2 * cost.parameters(afd.networks[:1])
    dml = cost.build("dml", ("resnet8", "resnet8"))
    assert [cost.order(one) for one in dml.plan] == ["in turn, each on a fresh forward pass: networks, networks"]


def test_a_row_has_the_medians(cost):
    dml = cost.build("dml", ("resnet8",) * 2, classes=10)
    times = {"supervised": [1.0, 0.01, 0.02], "dml": [1.5, 0.02, 0.03]}
    row = cost.row("dml", dml, times, {"mebibytes": 1234.4, "first": 2.06})
    assert row == ["`dml`", "156,084", "0", "30 ms", "1.50", "1,234 MiB", "2.1 s"]


def test_a_step_of_it_trains(cost):
    distiller = cost.build("supervised", ("resnet8",))
    before = distiller.networks[0].trainable_variables[0].numpy()
    seconds = cost.step_seconds({"supervised": distiller}, argparse.Namespace(batch_size=2, turns=2, steps=1))
    assert len(seconds["supervised"]) == 2 and min(seconds["supervised"]) > 0
    assert (before != distiller.networks[0].trainable_variables[0].numpy()).any()


def test_a_borrowed_protocol_is_said_to_be_one():
    """Who names a paper whose protocol it does not have says so, in the code and on the page."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "methods.md").read_text(encoding="utf-8")
    said = next(part for part in page.split("\n\n") if part.startswith("A run that names no `--protocol`"))
    borrowed = {name for name, method in METHODS.items() if method.protocol_note}
    assert borrowed == {"kdcl", "cl_ilr", "one", "supervised", "distillation", "chain", "sim_kd"}
    assert all(f"`{name}`" in said for name in borrowed)
    for name in ("kdcl", "cl_ilr"):
        assert "This is not" in METHODS[name].protocol_note and "not at hand" in METHODS[name].protocol_note
    papers = {"afd": "Chung et al.", "ffl": "Kim et al.", "dml_original": "Huang et al.", "ie_cifar": "Huang et al."}
    for name, method in METHODS.items():
        author = papers.get(method.protocol, "Yao and Sun")
        assert author in PROTOCOLS[method.protocol].source, name
        own = author in method.source or (
            name in ("dml", "mutual") and "Zhang et al." in PROTOCOLS[method.protocol].source
        )
        assert own != (name in borrowed), name
