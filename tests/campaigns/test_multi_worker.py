"""Two processes on one machine train what one process trains, through a death and a signal to one of them."""

import csv
import importlib.util
import json
import signal
from pathlib import Path

import numpy as np
import pytest

from tfdistill.devices import replicas
from tfdistill.runs import checkpoints

TIMING = ("images_per_second",)


def load_script():
    path = Path(__file__).with_name("multi_worker.py")
    spec = importlib.util.spec_from_file_location("multi_worker", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


script = load_script()


def start_two(folder: Path, *more_flags: str):
    return [script.start(folder, "two", task, *more_flags) for task in script.tasks(2)]


def read_until(process, beginning: str) -> list[str]:
    """The lines of a process up to the one that begins like that."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith(beginning):
            return lines
    raise AssertionError("".join(lines))


def rest_of(process) -> str:
    return process.communicate(timeout=90)[0]


def rows_of(folder: Path) -> list[dict[str, str]]:
    with open(folder / "epochs.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run in one process, and one of two workers that begins three times; what each printed."""
    folder = tmp_path_factory.mktemp("runs")
    said = {}

    chief, other = start_two(folder)
    read_until(chief, "epoch 1/")
    other.kill()
    one = script.start(folder, "one")  # while the chief waits for heartbeats
    said["after a death"] = rest_of(chief), chief.returncode
    rest_of(other)

    chief, other = start_two(folder)
    first = read_until(chief, "epoch 3/")
    other.send_signal(signal.SIGTERM)
    said["resumed"] = "".join(first)
    said["after a signal"] = (rest_of(chief), chief.returncode), (rest_of(other), other.returncode)

    chief, other = start_two(folder)
    said["finished"] = (rest_of(chief), chief.returncode), (rest_of(other), other.returncode)
    said["one"] = rest_of(one), one.returncode
    return folder, said


def test_a_worker_that_dies_ends_the_others_with_one_line(runs):
    output, status = runs[1]["after a death"]
    assert status == 1
    (line,) = [line for line in output.splitlines() if "error" in line]
    assert line.startswith("train.py: error: the connection to worker 1 (localhost:"), output
    assert "Traceback" not in output


def test_the_next_start_goes_on_from_the_newest_checkpoint(runs):
    assert "going on from" in runs[1]["resumed"]


def test_a_signal_to_one_worker_stops_all_at_one_step(runs):
    (chief, status), (other, others_status) = runs[1]["after a signal"]
    assert status == others_status == 128 + signal.SIGTERM
    (line,) = [line for line in chief.splitlines() if "stopped by SIGTERM at step" in line]
    assert line in other.splitlines()


def test_all_come_to_the_end_and_the_chief_alone_reports(runs):
    (chief, status), (other, others_status) = runs[1]["finished"]
    assert (status, others_status) == (0, 0), chief + other
    assert "epoch 6/6" in chief and "results  " in chief
    assert other.splitlines()[0].startswith("worker 1 (localhost:") and len(other.splitlines()) == 1


def test_two_workers_give_the_weights_of_one_process(runs):
    folder, said = runs
    assert said["one"][1] == 0, said["one"][0]
    one, two = (checkpoints.newest(folder / run / "checkpoints") for run in ("one", "two"))
    assert one.step == two.step == 24 and one.arrays.keys() == replicas.shared(two.arrays).keys()
    # A part's variance is not the whole batch's, and nothing depends on it here.
    compared = [name for name in one.arrays if not name.endswith("moving_variance")]
    assert sum(name.endswith("moving_mean") for name in compared) == 2
    for name in compared:
        np.testing.assert_allclose(two.arrays[name], one.arrays[name], rtol=1e-4, atol=1e-4, err_msg=name)


def test_two_workers_record_what_one_process_does(runs):
    folder, _ = runs
    one, two = rows_of(folder / "one"), rows_of(folder / "two")
    assert len(one) == len(two) == 6 and list(one[0]) == list(two[0])
    for row, other in zip(one, two, strict=True):
        for name in row.keys() - set(TIMING):
            assert float(other[name]) == pytest.approx(float(row[name]), rel=1e-3, abs=1e-4), name
    results = json.loads((folder / "two" / "results.json").read_text())
    assert results["workers"] == 2 and results["step"] == 24
    assert len(list((folder / "two" / "logs" / "training").iterdir())) == 3, "one event file for each start"


def test_the_chief_exports_the_final_weights(runs):
    folder, _ = runs
    arrays = checkpoints.newest(folder / "two" / "checkpoints").arrays
    for name in ("resnet8_1", "resnet8_2"):
        with np.load(folder / "exports" / "two" / name / "weights.npz") as exported:
            wanted = [array for key, array in arrays.items() if key.startswith(f"networks/{name}/")]
            assert len(wanted) == len(exported.files) - 1
            for index, array in enumerate(wanted):
                np.testing.assert_array_equal(exported[f"arr_{index}"], array)
