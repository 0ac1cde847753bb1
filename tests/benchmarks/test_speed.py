"""The comparison with PyTorch: operations, turns, tables, and that both sides compute the same."""

import dataclasses
import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

REPOSITORY = pathlib.Path(__file__).parents[2]
BENCHMARKS = REPOSITORY / "benchmarks"

# Trains for as long as it is told, and notes when; a step takes it as many seconds as the number it is given.
FAKE = """
import json, sys
from workers import WorkerError, serve
name, seconds, log = sys.argv[1], float(sys.argv[2]), sys.argv[3]

def note(what):
    with open(log, "a") as file:
        print(name, what, file=file)

def train(steps):
    note("trains")
    print("what a library prints")
    note("is done")
    return {"seconds": seconds * steps}

def multiply(precision, size):
    note(precision)
    return {"seconds": size ** 3 / seconds}

def fail():
    raise WorkerError("no such luck")

def crash():
    raise KeyError("a\\nb")

def end():
    sys.exit(3)

serve({"train": train, "multiply": multiply, "fail": fail, "crash": crash, "end": end})
"""


@pytest.fixture(scope="module")
def speed():
    return importlib.import_module("speed")


@pytest.fixture(scope="module")
def operations(speed):
    return sys.modules["operations"]


@pytest.fixture(scope="module")
def workers(speed):
    return sys.modules["workers"]


def fake(workers, name, seconds, log):
    return workers.Worker(name, [sys.executable, "-c", FAKE, name, str(seconds), str(log)])


# --- operations


def test_operations_of_each_method_are_those_worked_by_hand(operations):
    forward = operations.Forward([100, 1000], [1, 20], {"discriminator": [3, 5], "transfer": [7], "head": []})
    counts = {method: count(forward) for method, count in operations.OPERATIONS.items()}
    assert counts == {
        "supervised": 3300,
        # The first network, once it has moved, forward again.
        "dml": 3400,
        "dml_joint": 3300,
        # Backward through 99 and 980 again; 7 times 8 in discriminators, 3 times 7 in the transfer layer.
        "afd": 3300 + 2 * 1079 + 56 + 21,
        "dcm": 3300,
    }
    with_heads = dataclasses.replace(forward, helpers={"head": [10, 20, 30, 40]})
    assert operations.OPERATIONS["dcm"](with_heads) == 3 * 1200


def test_three_networks_in_turn_cost_five_forward_passes(operations):
    assert operations.alternating(operations.Forward([100, 100, 100])) == 5 * 100 + 3 * 200


def test_multiply_adds_are_read_from_the_models(speed):
    worker = importlib.import_module("tfdistill_worker")
    found = worker.forward(worker.build("afd", ["resnet8", "wide_resnet_10_1"]))
    # By hand: stem; blocks of 16, 32 and 64 channels at 32, 16 and 8 pixels, with projections; classifier.
    stages = (
        2 * 9 * 16 * 16 * 1024
        + (9 * 16 * 32 + 9 * 32 * 32 + 16 * 32) * 256
        + (9 * 32 * 64 + 9 * 64 * 64 + 32 * 64) * 64
    )
    assert found.networks == [27 * 16 * 1024 + stages + 6400] * 2
    assert found.classifiers == [6400, 6400]
    assert found.helpers == {"discriminator": [9 * 64 * 32 * 16 + 512] * 2}
    assert worker.forward(worker.build("dcm", ["resnet8", "resnet8"])).of("head") > 0
    assert set(worker.COMPARED) == set(sys.modules["operations"].OPERATIONS)


# --- turns


def test_sides_train_in_turns_and_never_at_once(speed, workers, tmp_path):
    log = tmp_path / "log"
    with fake(workers, speed.OURS, 0.5, log) as own, fake(workers, speed.PEER, 0.75, log) as peer:
        turns = speed.alternate({speed.OURS: own, speed.PEER: peer}, 3, 4, 10)
    assert turns.steps == {speed.OURS: [0.5] * 3, speed.PEER: [0.75] * 3}
    assert turns.ratios() == [1.5] * 3
    assert turns.rate() == pytest.approx(0.75)
    one, other = ([f"{side} trains", f"{side} is done"] for side in (speed.OURS, speed.PEER))
    products = [[f"{side} float32" for side in order] for order in ((speed.OURS, speed.PEER), (speed.PEER, speed.OURS))]
    first, second = one + other + products[0], other + one + products[1]
    assert log.read_text().splitlines() == [*first, *second, *first]


def test_a_worker_says_what_it_cannot_do_and_goes_on(workers, tmp_path):
    with fake(workers, "fake", 1, tmp_path / "log") as worker:
        for do, message in [("fail", "fake: no such luck"), ("crash", r"fake: KeyError: 'a\\nb'"), ("x", "no command")]:
            with pytest.raises(workers.WorkerError, match=message):
                worker.ask(do)
        assert worker.ask("train", steps=2) == {"seconds": 2.0}
        with pytest.raises(workers.WorkerError, match="fake: the process ended with 3 when asked to end"):
            worker.ask("end")
    with pytest.raises(workers.WorkerError, match="fake: /no/python does not start"):
        workers.Worker("fake", ["/no/python"])


def test_limits_on_threads_do_not_reach_a_worker(workers, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    code = "import os, workers; workers.serve({'look': lambda: {'found': 'OMP_NUM_THREADS' in os.environ}})"
    with workers.Worker("fake", [sys.executable, "-c", code]) as worker:
        assert worker.ask("look") == {"found": False}


def test_without_pytorch_one_line_says_how_to_get_it(speed, tmp_path, monkeypatch, capsys):
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError('No module named torch', name='torch')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["speed.py", "--quick"])
    assert speed.main() == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    assert "has no torch: pip install torch==" in shown.err
    assert "--torch_python" in shown.err


# --- tables


def test_a_row_has_medians_quartiles_ratio_and_shares(speed):
    case = speed.Case(("resnet20", "resnet32"), "bfloat16", "afd")
    turns = speed.Turns(
        {speed.OURS: [1.0, 2.0, 4.0], speed.PEER: [2.0, 2.0, 6.0]},
        {"bfloat16": {speed.OURS: [1e9, 2e9, 9e9]}, "float32": {speed.OURS: [4e9] * 3, speed.PEER: [3e9] * 3}},
    )
    cells = speed.row(case, turns, 128, 4_000_000_000, {"form": "eager", "difference": 0.000123})
    assert len(cells) == len(speed.HEADINGS)
    assert cells == [
        "`resnet20` + `resnet32`",
        *("bfloat16", "`afd`"),
        *("64.0 (48.0–96.0)", "64.0 (42.7–64.0)"),
        "1.50 (1.25–1.75)",
        *("eager", "4.0 G", "0.50", "0.50", "1.2e-04"),
    ]
    assert speed.spread([3.0], "{:.1f}".format) == "3.0"
    assert speed.markdown_rows([("a", "b"), ("c", "d")]) == "| a | b |\n| c | d |\n"
    shown = speed.product_table({"float32": {speed.PEER: [2e9, 3e9, 4e9]}}, 512)
    assert "| float32 | PyTorch | 3.0 G (2.5 G–3.5 G) |" in shown


def test_sides_that_differ_are_refused(speed, workers):
    case, counts = speed.Case(("resnet8",), "float32", "dml"), {"network1": 10}
    speed.require_same(case, {"parameters": counts}, {"parameters": counts, "difference": 0.001})
    with pytest.raises(workers.WorkerError, match=r"parameters differ: tfdistill \{'network1': 10\}"):
        speed.require_same(case, {"parameters": counts}, {"parameters": {"network1": 9}, "difference": 0.0})
    adam = dataclasses.replace(case, method="afd")
    speed.require_same(adam, {"parameters": counts}, {"parameters": counts, "difference": 0.03})
    with pytest.raises(workers.WorkerError, match="afd: the first steps differ"):
        speed.require_same(adam, {"parameters": counts}, {"parameters": counts, "difference": 0.06})
    for difference in (0.03, 0.5, float("nan")):
        with pytest.raises(workers.WorkerError, match="dml: the first steps differ"):
            speed.require_same(case, {"parameters": counts}, {"parameters": counts, "difference": difference})
    rounded = dataclasses.replace(case, precision="bfloat16")
    speed.require_same(rounded, {"parameters": counts}, {"parameters": counts, "difference": 0.5})


def test_quick_stands_for_what_is_not_said(speed):
    quick = speed.parsed(["--quick", "--batch_size=4"])
    assert (quick.networks, quick.batch_size, quick.turns, quick.steps) == (["resnet8,resnet8"], 4, 2, 1)
    assert len(list(speed.cases(quick))) == 2 * 5
    whole = speed.parsed([])
    assert (whole.networks, whole.batch_size) == (list(speed.PAIRS), 128)
    assert next(iter(speed.cases(whole))) == speed.Case(("resnet20", "resnet20"), "float32", "supervised")
    with pytest.raises(SystemExit):
        speed.parsed(["--turns=0"])


def test_the_version_is_that_of_the_extra(speed):
    version = sys.modules["peer"].INSTALL.split()[2]
    assert f'"peer": ["{version}"]' in (REPOSITORY / "setup.py").read_text(encoding="utf-8")


# --- the same computation


def pytorch() -> str:
    """An interpreter that has PyTorch, this one or $PEER_PYTHON; the test is skipped where there is none."""
    chosen = os.environ.get("PEER_PYTHON")
    if chosen or importlib.util.find_spec("torch"):
        return chosen or sys.executable
    pytest.skip("PyTorch is not installed (extra 'peer'), and $PEER_PYTHON names no interpreter that has it")


PEER = """
import json, sys
import numpy as np, torch
from peer import methods, weights
folder, case = sys.argv[1], json.loads(sys.argv[2])
before, batch = dict(np.load(folder + "/before.npz")), dict(np.load(folder + "/batch.npz"))
method = methods.METHODS[case["method"]](case["networks"], case["classes"], case["recipe"], case["temperature"])
weights.load(method.models, before)
method.to(torch.device("cpu"), torch.channels_last, torch.float32)
images = torch.from_numpy(batch["images"].transpose(0, 3, 1, 2).copy())
method.models["network1"].eval()
logits = method.models["network1"](images)["logits"].detach().numpy()
method.models["network1"].train()
method.step(images, torch.from_numpy(batch["labels"]).long())
np.savez(folder + "/peer.npz", logits=logits, **weights.save(method.models))
"""


def test_one_supervised_step_is_the_same_in_both(speed, tmp_path):
    interpreter = pytorch()
    worker = importlib.import_module("tfdistill_worker")
    commands = worker.Commands()
    case = commands.prepare("supervised", ["resnet8"], "float32", 8, str(tmp_path))["case"]
    before, after, batch = (dict(np.load(tmp_path / f"{name}.npz")) for name in ("before", "after", "batch"))
    environment = {**os.environ, "PYTHONPATH": str(BENCHMARKS)}
    command = [interpreter, "-c", PEER, str(tmp_path), json.dumps(case)]
    subprocess.run(command, env=environment, check=True)
    theirs = dict(np.load(tmp_path / "peer.npz"))

    network = worker.build("supervised", ["resnet8"]).networks[0]
    for layer in network.layers:
        for variable in layer.weights:
            variable.assign(before[f"network1/{layer.name}/{variable.name}"])
    logits = network(batch["images"], training=False)["logits"]
    np.testing.assert_allclose(theirs.pop("logits"), logits, atol=1e-4, rtol=1e-4)
    assert set(theirs) == set(after)
    for name, value in after.items():
        np.testing.assert_allclose(theirs[name], value, atol=1e-4, rtol=1e-4, err_msg=name)
    # Against the step itself too, which is small: without one, the weights would agree as well.
    trained = [name for name in after if "/moving_" not in name]
    apart, step = (np.sqrt(sum(np.sum((one[name] - after[name]) ** 2) for name in trained)) for one in (theirs, before))
    assert apart < 0.01 * step
