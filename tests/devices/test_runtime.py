"""Strategies, precision and what a run writes down about where it ran."""

import os

import keras
import pytest
import tensorflow as tf

from tfdistill import startup
from tfdistill.devices import runtime
from tfdistill.networks import convolutions


@pytest.fixture
def no_gpu(monkeypatch):
    real = tf.config.list_physical_devices
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [] if kind == "GPU" else real(kind))


@pytest.mark.parametrize("name", ["auto", "one"])
def test_one_device_needs_no_strategy(no_gpu, name):
    assert runtime.make_strategy(name) is tf.distribute.get_strategy()


def test_mirrored_takes_logical_processors_where_there_is_no_gpu(no_gpu):
    for replicas in (0, 2):
        strategy = runtime.make_strategy("mirrored", replicas)
        assert isinstance(strategy, tf.distribute.MirroredStrategy)
        assert [tf.DeviceSpec.from_string(name).device_index for name in strategy.extended.worker_devices] == [0, 1]
        assert strategy.num_replicas_in_sync == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("mirored",), "strategy: 'mirored' is none of auto, one, mirrored, multi_worker; nearest: mirrored"),
        (("one", 2), "replicas: 2 needs strategy 'mirrored', not 'one'"),
        (("auto", 2), "replicas: 2 needs strategy 'mirrored', not 'auto'"),
        (("mirrored", -1), "replicas: must be 0 or more, not -1"),
    ],
)
def test_wrong_strategies_are_refused(arguments, message):
    with pytest.raises(ValueError) as error:
        runtime.make_strategy(*arguments)
    assert str(error.value) == message


@pytest.mark.parametrize("precision", runtime.PRECISIONS)
def test_precision_is_the_policy_of_new_layers(precision):
    before = keras.config.dtype_policy()
    try:
        runtime.set_precision(precision)
        dense = keras.layers.Dense(2)
        assert dense(tf.ones((1, 2))).dtype == {"float32": tf.float32, "mixed_bfloat16": tf.bfloat16}[precision]
        assert dense.kernel.dtype == "float32"
    finally:
        keras.config.set_dtype_policy(before)


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match=r"^precision: 'float16' is none of float32, mixed_bfloat16; nearest: "):
        runtime.set_precision("float16")


def test_versions_say_what_numbers_depend_on():
    versions = runtime.versions()
    assert versions["tensorflow"] == tf.__version__ and versions["keras"] == keras.__version__
    assert {"tfdistill", "numpy", "tensorflow-datasets", "python", "machine", "devices", "onednn"} <= set(versions)
    assert "CPU:0" in versions["devices"] and "cores" in versions["machine"]
    assert all(isinstance(value, str) and value for value in versions.values())


def test_a_process_of_other_products_is_refused_and_the_record_says_which(monkeypatch):
    monkeypatch.setenv(startup.PRODUCTS, "BF16")
    monkeypatch.setenv(startup.ONEDNN, "1")
    runtime.require_products("bfloat16")
    assert runtime.versions()["onednn_products"] == "bfloat16"
    with pytest.raises(
        ValueError, match=r"^products: this process computes them in bfloat16, not float32; see TF_SET_"
    ):
        runtime.require_products("float32")
    monkeypatch.delenv(startup.PRODUCTS)
    runtime.require_products("float32")
    assert runtime.versions()["onednn_products"] == "float32"


def test_products_stay_where_nothing_computes_them_otherwise(monkeypatch, tmp_path):
    monkeypatch.setattr(runtime.tf.config, "list_physical_devices", lambda kind=None: [])
    monkeypatch.setattr(runtime.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(convolutions, "CPU_INFORMATION", tmp_path / "cpuinfo")
    assert runtime.why_products_stay() == ""
    (tmp_path / "cpuinfo").write_text("flags : avx512f avx512_bf16\n")
    assert runtime.why_products_stay() == "this processor has no AMX"
    (tmp_path / "cpuinfo").write_text("flags : avx512f avx512_bf16 amx_bf16 amx_tile\n")
    assert runtime.why_products_stay() == ""
    monkeypatch.setattr(runtime.tf.config, "list_physical_devices", lambda kind=None: ["GPU"])
    assert runtime.why_products_stay() == "a GPU computes, without oneDNN"


def test_versions_say_whether_tf32_is_enabled():
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    try:
        for enabled, word in ((False, "disabled"), (True, "enabled")):
            tf.config.experimental.enable_tensor_float_32_execution(enabled)
            assert runtime.versions()["tensor_float_32"] == word
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)


def test_more_replicas_than_the_processor_has_a_use_for_are_refused():
    many = max(8, os.cpu_count()) + 1
    with pytest.raises(ValueError, match=rf"^replicas: must be {many - 1} at most where .*, not {many}$"):
        runtime.make_strategy("mirrored", many)
