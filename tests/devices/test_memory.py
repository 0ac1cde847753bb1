"""Memory is said before it is taken, and one line tells where it is full."""

import keras
import pytest
import tensorflow as tf

from tfdistill import data
from tfdistill.commands import command_line
from tfdistill.devices import memory
from tfdistill.runs.config import RunConfig
from tfdistill.runs.data import RunData


def network():
    images = keras.Input((8, 8, 3))
    maps = keras.layers.ReLU()(keras.layers.Conv2D(4, 3, padding="same", use_bias=False, name="conv")(images))
    logits = keras.layers.Dense(5, name="logits")(keras.layers.Flatten()(maps))
    return keras.Model(images, {"maps": maps, "logits": logits})


def test_counted_are_weights_and_what_layers_with_weights_give():
    weights = 3 * 3 * 3 * 4 + (8 * 8 * 4 * 5 + 5)
    assert memory.training_memory([network()], 10) == 12 * weights + 10 * 4 * (8 * 8 * 4 + 5)


def test_layers_that_models_share_are_counted_once():
    """Their weights, and what they give: the trunk of several networks runs once."""
    one = network()
    maps = one.get_layer("conv").output
    other = keras.Model(one.inputs[0], {"logits": keras.layers.Dense(5)(keras.layers.Flatten()(maps))})
    own = 8 * 8 * 4 * 5 + 5
    both, alone = (memory.training_memory(models, 10) for models in ([one, other], [one]))
    assert both - alone == 12 * own + 10 * 4 * 5


def test_what_does_not_fit_is_refused_with_both_sizes(monkeypatch):
    monkeypatch.setattr(memory, "machine_memory", lambda: 2**30)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [])
    memory.require_for_training([network()], 100_000)
    message = r"^batch_size: training functional\w* on batches of 1,200,000 takes 1\.2 GiB at least, and this machine "
    with pytest.raises(ValueError, match=message + r"has 1\.0 GiB; give a smaller --batch_size"):
        memory.require_for_training([network()], 1_200_000)
    with pytest.raises(ValueError, match=r"^image_size: a batch of 128 images of 1,000×1,000 pixels takes 1\.4 GiB"):
        memory.require_for_images(128, 1000)


def test_a_batch_of_huge_images_is_refused_before_any_is_read(monkeypatch):
    monkeypatch.setattr(data, "load", lambda *args, **kwargs: pytest.fail("reads"))
    config = RunConfig(dataset="image_folder", data_dir="photos", image_size=16_384, batch_size=1_000_000)
    with pytest.raises(ValueError, match=r"^image_size: a batch of 1,000,000 images"):
        RunData.read(config)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        MemoryError("Unable to allocate 9 TiB\nfor"),
        tf.errors.ResourceExhaustedError(None, None, "OOM\nat"),
    ],
)
def test_full_memory_is_one_line_that_names_the_flags(error, capsys):
    with pytest.raises(SystemExit) as ended, command_line.one_line_errors("some.py"):
        raise error
    (line,) = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2 and line.startswith(
        "some.py: error: batch_size, image_size, networks: out of memory ("
    )


def test_the_memory_of_this_machine_is_what_the_process_may_have(monkeypatch):
    assert 2**28 < memory.machine_memory() < 2**50
    monkeypatch.setattr(memory.resource, "getrlimit", lambda kind: (2**27, 2**27))
    assert memory.machine_memory() == 2**27
