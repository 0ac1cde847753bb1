"""What TF_CONFIG may say, what a lost connection looks like, and one worker among itself."""

import json

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.devices import runtime
from tfdistill.devices.cluster import Cluster, cluster_of_environment, lost_worker
from tfdistill.devices.workers import Workers

TWO = {"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 1}}
WITH_CHIEF = {"cluster": {"worker": ["b:2", "c:3"], "chief": ["a:1"]}, "task": {"type": "worker", "index": "1"}}


@pytest.fixture
def says(monkeypatch):
    def says(value):
        monkeypatch.setenv("TF_CONFIG", value if isinstance(value, str) else json.dumps(value))

    return says


@pytest.mark.parametrize(
    ("value", "cluster"),
    [
        ("", None),
        ({}, None),
        ({"cluster": {}}, None),
        (TWO, Cluster(("a:1", "b:2"), 1)),
        (WITH_CHIEF, Cluster(("a:1", "b:2", "c:3"), 2, has_chief=True)),
        ({**WITH_CHIEF, "task": {"type": "chief", "index": 0}}, Cluster(("a:1", "b:2", "c:3"), 0, has_chief=True)),
    ],
)
def test_the_cluster_is_read(says, value, cluster):
    says(value)
    assert cluster_of_environment() == cluster


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ('{"cluster": ', ["character 11", "such as"]),
        ("[]", ["an object"]),
        ({"cluster": {"ps": ["a:1"], "worker": ["b:2"]}}, ["'worker' and 'chief' only"]),
        ({"cluster": {"worker": "a:1"}}, ["lists"]),
        ({"cluster": {"chief": ["a:1", "b:2"]}}, ["2 chiefs"]),
        ({"cluster": {"worker": ["a", "b:2"]}}, ["'a'", "host0:2222"]),
        ({"cluster": {"worker": ["a:1", "a:1"]}}, ["a:1", "twice"]),
        ({"cluster": TWO["cluster"]}, ["task", "such as"]),
        ({**TWO, "task": {"type": "chief", "index": 0}}, ["'chief'", "worker"]),
        ({**TWO, "task": {"type": "worker", "index": 2}}, ["index 2", "2 of type 'worker'"]),
        ({**TWO, "task": {"type": "worker", "index": -1}}, ["index -1"]),
    ],
)
def test_a_wrong_cluster_is_refused_in_one_line(says, value, words):
    says(value)
    with pytest.raises(ValueError, match=r"^TF_CONFIG: ") as error:
        runtime.make_strategy("auto")
    message = str(error.value)
    assert "\n" not in message and all(word in message for word in words), message


def test_several_workers_are_asked_for_where_there_is_one(says):
    says({"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}})
    with pytest.raises(ValueError, match=r"^strategy: multi_worker needs two workers or more in TF_CONFIG, such as "):
        runtime.make_strategy("multi_worker")


def test_one_strategy_ignores_the_cluster(says):
    says(TWO)
    assert runtime.make_strategy("one") is tf.distribute.get_strategy()


ABORTED = "Collective ops is aborted by: "
HEARTBEATS = "The following tasks are unhealthy (stopped sending heartbeats):\n/job:worker/replica:0/task:0"


@pytest.mark.parametrize(
    ("error", "config", "who"),
    [
        (tf.errors.UnavailableError(None, None, ABORTED + HEARTBEATS), TWO, "worker 0 (a:1)"),
        (tf.errors.UnavailableError(None, None, ABORTED + HEARTBEATS), WITH_CHIEF, "worker 1 (b:2)"),
        (tf.errors.DeadlineExceededError(None, None, ABORTED + "Deadline Exceeded"), TWO, "another worker"),
        (
            tf.errors.DeadlineExceededError(None, None, "/tensorflow.CoordinationService/Heartbeat"),
            TWO,
            "worker 0 (a:1)",
        ),
        (tf.errors.InternalError(None, None, ABORTED + "remote target /job:worker/task:0"), TWO, "worker 0 (a:1)"),
        (tf.errors.UnavailableError(None, None, "of /job:worker/task:1"), TWO, "another worker"),
    ],
)
def test_a_lost_worker_is_named(says, error, config, who):
    says(config)
    line = lost_worker(error)
    assert line.startswith(f"the connection to {who} is lost") and "\n" not in line


@pytest.mark.parametrize(
    ("error", "config"),
    [
        (tf.errors.InternalError(None, None, "the GPU is out of order"), TWO),
        (tf.errors.UnavailableError(None, None, "a server"), {}),
        (ValueError("Collective"), TWO),
    ],
)
def test_other_errors_are_not_taken_for_it(says, error, config):
    says(config)
    assert lost_worker(error) == ""


def test_one_worker_agrees_with_itself():
    workers = Workers(tf.distribute.get_strategy())
    assert (workers.count, workers.index, workers.is_chief) == (1, 0, True)
    array = np.float32([1, 2])
    assert workers.gather(signal=7, due=True) == {"signal": [7], "due": [1]} and workers.of_chief([1, 2]) == [1, 2]
    assert workers.mean([array])[0] is array
    assert workers.feed(lambda part, parts: (part, parts)) == (0, 1)
    workers.wait()
    workers.refuse_together()
    with pytest.raises(ValueError, match=r"^a problem$"):
        workers.refuse_together("a problem")
