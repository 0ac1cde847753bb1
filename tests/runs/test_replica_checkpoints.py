"""Checkpoints of two replicas: when they are taken changes nothing, and a run goes on from one to the same bits."""

import signal

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.devices import replicas, runtime
from tfdistill.networks.layers import BatchNormalization
from tfdistill.runs import building, callbacks, checkpoints
from tfdistill.runs.config import RunConfig
from tfdistill.runs.folder import RunFolder
from tfdistill.runs.interruption import Interrupted
from tfdistill.runs.run import Run


def networks_with_statistics(data):
    images = keras.Input(data.image_shape, name="images")
    x = BatchNormalization(name="norm")(keras.layers.Flatten()(images))
    draw = keras.initializers.HeNormal(seed=1)
    return [
        keras.Model(images, {"logits": keras.layers.Dense(10, kernel_initializer=draw, name="logits")(x)}, name="one")
    ]


def run(folder, *, stopped_at=(), **changes):
    """A run of two replicas and two epochs of four steps, stopped after each of some steps, to its end."""
    fields = {"strategy": "mirrored", "replicas": 2, "train_examples": 64, "batch_size": 16, "epochs": 2}
    config = RunConfig(networks=("resnet8",), check_terms=False, **{**fields, **changes})
    for stop in [*stopped_at, 0]:
        one = Run(config, RunFolder(folder))
        one.open()
        real = one.checkpoints.on_train_batch_end

        def end(batch, logs=None, one=one, stop=stop, real=real):
            one.signals.received = signal.SIGTERM if one.distiller.steps_trained == stop else 0
            real(batch, logs)

        one.checkpoints.on_train_batch_end = end
        try:
            one.train()
        except (callbacks.Stopped, Interrupted):
            assert stop
        one.folder.close()
    return checkpoints.newest(one.folder.checkpoints)


@pytest.fixture(scope="module", autouse=True)
def _small(two_replicas):
    """Runs of a tiny network; those on two replicas share the tests' strategy: two in a process disturb each other."""
    one_device = tf.distribute.get_strategy()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "build_networks", networks_with_statistics)
        patch.setattr(runtime, "make_strategy", lambda name, replicas: two_replicas if replicas else one_device)
        yield


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return run(tmp_path_factory.mktemp("undisturbed") / "run", checkpoint_seconds=1000.0)


def rows_of(found):
    return [
        {name: value for name, value in row.items() if name != "images_per_second"} for row in found.metadata["rows"]
    ]


def test_checkpoints_change_nothing_and_lose_nothing(tmp_path, undisturbed):
    """One after every step, and a stop within the first epoch, at its end, and within the second."""
    found = run(tmp_path / "run", checkpoint_seconds=0.0, stopped_at=(1, 4, 6))
    assert rows_of(found) == rows_of(undisturbed) and len(rows_of(found)) == 2
    assert found.arrays.keys() == undisturbed.arrays.keys()
    for name, array in undisturbed.arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array, err_msg=name)


def test_a_checkpoint_holds_the_mean_and_the_values_of_each_replica(undisturbed):
    arrays = undisturbed.arrays
    (mean,) = [name for name in arrays if name.startswith("networks/") and name.endswith("/moving_mean")]
    both = [arrays[f"replicas/{index:04d}/{mean}"] for index in (0, 1)]
    np.testing.assert_array_equal(arrays[mean], sum(both) / 2)
    assert set(replicas.shared(arrays)) == {name for name in arrays if not name.startswith("replicas/")}


def test_another_number_of_replicas_goes_on_from_the_mean(tmp_path):
    run(tmp_path / "run", checkpoint_seconds=0.0, steps=6)
    found = run(tmp_path / "run", strategy="one", replicas=0)
    assert found.step == 8 and not [name for name in found.arrays if name.startswith("replicas/")]


def test_the_mean_of_equal_values_is_the_value():
    value = np.float32([0.1, 0.7, 1e-3])
    assert replicas.mean([value] * 10).tobytes() == value.tobytes() != (sum([value] * 10) / 10).tobytes()
