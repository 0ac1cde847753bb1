"""What the layers keep per replica, on two logical CPU devices in a process of its own."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

import tfdistill.networks

SCRIPT = """
import json, os, sys
import keras, numpy as np, tensorflow as tf
from tfdistill.networks.layers import BatchNormalization, Dropout

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
folder = sys.argv[1]
batches = tf.constant(np.random.default_rng(0).normal(size=(2, 4, 3, 3, 2)).astype("float32"))

def on_replicas(call, xla):
    inner = call if xla is None else tf.function(call, jit_compile=xla)
    def step():
        return inner(batches[tf.distribute.get_replica_context().replica_id_in_sync_group])
    return tf.function(lambda: strategy.run(step))

def local(run):
    return [value.numpy() for value in strategy.experimental_local_results(run())]

def copies(variable):
    return [value.numpy().tolist() for value in variable.value.values]

def reductions(run):
    graph = run.get_concrete_function().graph.as_graph_def()
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    return [node.op for node in nodes if node.op == "AddN" or "Collective" in node.op or "Nccl" in node.op]

report = {"batches": batches.numpy().tolist()}
with strategy.scope():
    synchronized = BatchNormalization(synchronized=True)
    synchronized.build((None, 3, 3, 2))
run = on_replicas(lambda x: synchronized(x, training=True), None)
report["synchronized"] = {"reductions": reductions(run)}
for xla in (False, True):
    with strategy.scope():
        norm, dropout = BatchNormalization(), Dropout(0.5, seed=3)
        norm.build((None, 3, 3, 2))
        dropout.build((None, 3, 3, 2))
    run = on_replicas(lambda x: norm(x, training=True), xla)
    run(); run()
    masks = [(out == 0).tolist() for out in local(on_replicas(lambda x: dropout(x, training=True), xla))]
    evaluated = local(on_replicas(lambda x: norm(batches[0], training=False), xla))
    report["xla" if xla else "graph"] = {
        "mean": copies(norm.moving_mean), "variance": copies(norm.moving_variance),
        "read": norm.moving_mean.numpy().tolist(),
        "read_array": tf.convert_to_tensor(norm.moving_variance).numpy().tolist(),
        "reductions": reductions(run), "masks": masks, "evaluated": [out.tolist() for out in evaluated],
    }

with strategy.scope():
    inputs = keras.Input((3, 3, 2), name="images")
    pooled = keras.layers.GlobalAveragePooling2D()(BatchNormalization(name="norm")(inputs))
    network = keras.Model(inputs, {"logits": keras.layers.Dense(3)(pooled)})
on_replicas(lambda x: network(x, training=True)["logits"], False)()
network.save(f"{folder}/network.keras")
network.export(f"{folder}/served", verbose=False)
norm = network.get_layer("norm")
before = norm.moving_mean.numpy().tolist()
variables = {variable.path.replace("/", "_"): variable for variable in network.variables}
path = tf.train.Checkpoint(**variables).save(f"{folder}/checkpoint")
for variable in network.variables:
    variable.assign(np.zeros(variable.shape))
tf.train.Checkpoint(**variables).restore(path).assert_consumed()
saved = keras.saving.load_model(f"{folder}/network.keras")
served = tf.saved_model.load(f"{folder}/served")
report["saved"] = {
    "before": before, "restored": copies(norm.moving_mean),
    "keras_file": saved.get_layer("norm").moving_mean.numpy().tolist(),
    "logits": network(batches[0], training=False)["logits"].numpy().tolist(),
    "saved_logits": saved(batches[0], training=False)["logits"].numpy().tolist(),
    "served_logits": served.serve(batches[0])["logits"].numpy().tolist(),
}
json.dump(report, open(f"{folder}/report.json", "w"))
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("replicas")
    root = pathlib.Path(tfdistill.networks.__file__).parents[2]
    environment = {
        **os.environ,
        "PYTHONPATH": str(root),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "",
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((folder / "report.json").read_text())


@pytest.mark.parametrize("mode", ["graph", "xla"])
def test_each_replica_moves_its_own_running_statistics(report, mode):
    batches = np.asarray(report["batches"])
    kept = 0.9**2
    for replica in (0, 1):
        mean = batches[replica].mean((0, 1, 2))
        variance = batches[replica].var((0, 1, 2), ddof=1)
        np.testing.assert_allclose(report[mode]["mean"][replica], (1 - kept) * mean, atol=1e-6)
        np.testing.assert_allclose(report[mode]["variance"][replica], kept + (1 - kept) * variance, rtol=1e-5)
    assert not np.allclose(report[mode]["mean"][0], report[mode]["mean"][1])


@pytest.mark.parametrize("mode", ["graph", "xla"])
def test_running_statistics_read_as_the_mean_of_the_replicas(report, mode):
    np.testing.assert_allclose(report[mode]["read"], np.mean(report[mode]["mean"], axis=0), rtol=1e-6)
    np.testing.assert_allclose(report[mode]["read_array"], np.mean(report[mode]["variance"], axis=0), rtol=1e-6)


@pytest.mark.parametrize("mode", ["graph", "xla"])
def test_a_training_step_reduces_no_running_statistics_across_replicas(report, mode):
    assert report[mode]["reductions"] == []
    assert report["synchronized"]["reductions"]


@pytest.mark.parametrize("mode", ["graph", "xla"])
def test_replicas_evaluate_with_their_own_statistics(report, mode):
    batch = np.asarray(report["batches"])[0]
    for replica in (0, 1):
        mean, variance = (np.asarray(report[mode][key][replica]) for key in ("mean", "variance"))
        expected = (batch - mean) / np.sqrt(variance + 1e-5)
        np.testing.assert_allclose(report[mode]["evaluated"][replica], expected, rtol=1e-3, atol=1e-5)


def test_dropout_masks_differ_between_replicas_and_not_between_compilers(report):
    graph, xla = (np.asarray(report[mode]["masks"]) for mode in ("graph", "xla"))
    assert (graph[0] != graph[1]).any()
    np.testing.assert_array_equal(graph, xla)


def test_files_hold_the_mean_and_a_checkpoint_gives_it_to_every_replica(report):
    saved = report["saved"]
    assert np.abs(saved["before"]).max() > 1e-4
    np.testing.assert_allclose(saved["restored"], [saved["before"]] * 2, rtol=1e-6)
    np.testing.assert_allclose(saved["keras_file"], saved["before"], rtol=1e-6)
    np.testing.assert_allclose(saved["saved_logits"], saved["logits"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(saved["served_logits"], saved["logits"], rtol=1e-4, atol=1e-5)
