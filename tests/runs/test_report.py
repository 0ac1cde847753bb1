"""The table and the results of a run, from rows made by hand."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest

from tfdistill.runs import report
from tfdistill.runs.best_epoch import ExportedEpoch
from tfdistill.runs.config import RunConfig


class Network:
    """As much of a network as a report asks for."""

    def __init__(self, name: str, parameters: int) -> None:
        self.name, self._parameters = name, parameters

    @property
    def trainable_variables(self) -> list[np.ndarray]:
        return [np.empty((self._parameters - 2, 1), "int8"), np.empty(2, "int8")]


NETWORKS = [Network("first", 1234567), Network("second", 12)]


def row(epoch: int, speed: float | None, **accuracies: float) -> dict:
    scores = {f"val_{name}/accuracy": value for name, value in accuracies.items()}
    scores |= {f"val_{name}/top5": value + 0.1 for name, value in accuracies.items()}
    head = {"epoch": epoch, "step": 10 * epoch, "images_per_second": speed, "learning_rate/first": 0.1}
    return {**head, "first/loss": 2.0 / epoch, "first/mutual": 1.0 / epoch, **scores}


ROWS = [
    row(1, None, first=0.3, second=0.2, ensemble=0.4),
    row(2, 100.0, first=0.7, second=0.5, ensemble=0.6),
    row(3, 300.0),
    row(4, 200.0, first=0.6, second=0.5, ensemble=0.8),
]


def results(exports=None, other_scores=None, exported=None, dataset="digits"):
    return report.results_of(
        RunConfig(run="mine", dataset=dataset),
        NETWORKS,
        ROWS,
        scored_on="validation",
        other_scores=other_scores or {},
        exports=exports or {},
        exported=exported or ExportedEpoch("last", 4, 40),
        worst_classes={"first": {"cat": 0.25}},
        facts={"run": "mine", "step": 40},
    )


def test_network_results_have_the_last_scores_and_the_first_best_epoch():
    first, second, ensemble = report.network_results(NETWORKS, ROWS)
    assert first["last"] == {"accuracy": 0.6, "top5": pytest.approx(0.7)}
    assert (first["name"], first["parameters"]) == ("first", 1234567)
    assert (first["best_accuracy"], first["best_epoch"]) == (0.7, 2)
    assert (second["best_accuracy"], second["best_epoch"]) == (0.5, 2), "of equal epochs the first"
    assert (ensemble["name"], ensemble["parameters"]) == ("ensemble", None)
    assert (ensemble["best_accuracy"], ensemble["best_epoch"]) == (0.8, 4)


def test_the_best_epochs_scores_come_along_where_it_is_exported():
    best = ExportedEpoch("best", 2, 20, 0.6, "validation accuracy")
    first, second, ensemble = report.network_results(NETWORKS, ROWS, best)
    assert first["exported"] == {"accuracy": 0.7, "top5": pytest.approx(0.8)}
    assert (second["exported"]["accuracy"], ensemble["exported"]["accuracy"]) == (0.5, 0.6)
    found = results(exported=best, other_scores={"test": {"first/accuracy": 0.65}})
    assert found["exported_epoch"] == {
        "choice": "best",
        "epoch": 2,
        "step": 20,
        "score": 0.6,
        "judged_by": "validation accuracy",
    }
    line = "exported  epoch 2, the best by validation accuracy (0.6000); test accuracy is this epoch's"
    assert line in report.final_table(found, Path("runs/mine")).splitlines()


def test_network_results_without_an_ensemble_or_without_scores():
    alone = report.network_results(NETWORKS[:1], [row(1, None, first=0.3)])
    assert [one["name"] for one in alone] == ["first"]
    assert report.network_results(NETWORKS, [row(1, None)]) == []


def test_results_have_terms_speed_flags_and_facts_and_are_json():
    found = json.loads(json.dumps(results(other_scores={"test": {"first/accuracy": 0.55}})))
    assert found["training_terms"] == {"first/loss": 0.5, "first/mutual": 0.25}
    assert found["images_per_second"] == 200.0, "the median of the epochs that have one"
    assert found["flags"]["run"] == "mine" and found["step"] == 40 and found["scored_on"] == "validation"
    assert found["other_scores"] == {"test": {"first/accuracy": 0.55}}
    assert {"tensorflow", "keras", "devices"} <= set(found["versions"])


def test_the_table_has_a_line_per_network_and_says_where_things_lie():
    exports = {"first": Path("out/mine/first/1"), "second": Path("out/mine/second/1")}
    text = report.final_table(results(exports, {"test": {"first/accuracy": 0.5512}}), Path("runs/mine"))
    head, first, second, ensemble, test, *rest = text.strip().splitlines()
    assert "last validation accuracy" in head
    assert first.split() == ["first", "1,234,567", "60.00%", "70.00%", "2", "out/mine/first/1"]
    assert second.split() == ["second", "12", "50.00%", "50.00%", "2", "out/mine/second/1"]
    assert ensemble.split() == ["ensemble", "80.00%", "80.00%", "4"]
    assert test.split() == ["first", "(test)", "55.12%"]
    assert first.index("60.00%") == second.index("50.00%") == head.index("last"), "columns are aligned"
    below = "\n".join(rest)
    assert "runs/mine/results.json" in below and "tensorboard --logdir=runs/mine/logs" in below
    assert f"{Path('out/mine').resolve()}:/models:ro " in below
    assert rest[-1] == "predict  python launch/predict.py out/mine/first", "asks for digits, which it knows"
    other = report.final_table(results(exports, dataset="cifar10"), Path("runs/mine"))
    assert other.splitlines()[-1] == "predict  python launch/predict.py out/mine/first IMAGE.jpg"


def test_the_table_of_a_run_without_exports_offers_no_serving():
    text = report.final_table(results(), Path("runs/mine"))
    assert "runs/mine/results.json" in text and "docker" not in text and "predict.py" not in text


def test_printed_commands_are_quoted_for_the_shell():
    text = report.final_table(results({"first": Path("my out/mine/first/1")}), Path("my runs/$HOME"))
    commands = [shlex.split(line) for line in text.splitlines() if line.startswith(("watch", "serve", "predict"))]
    assert commands[0] == ["watch", "tensorboard", "--logdir=my runs/$HOME/logs"]
    assert commands[1][7:9] == [f"{Path('my out/mine').resolve()}:/models:ro", "tensorflow/serving"]
    assert commands[2] == ["predict", "python", "launch/predict.py", "my out/mine/first"]
