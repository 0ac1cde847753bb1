"""What Keras' own file and the environment say: set aside by commands, told to programs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

from tfdistill import keras_settings, networks

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def keras_json(tmp_path, monkeypatch):
    """Writes the file that Keras would read."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    for name in (keras_settings.BACKEND, *keras_settings.LIMITS):
        monkeypatch.setenv(name, "")  # so that what the code sets is taken back
        monkeypatch.delenv(name)

    def write(text):
        path = tmp_path / "keras.json"
        path.write_text(text if isinstance(text, str) else json.dumps(text))
        return path

    return write


def run_python(*arguments, **environment):
    """Runs Python in a process of its own, where Keras is not imported yet."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3", **environment}
    return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True)


def test_a_command_sets_aside_what_it_cannot_run_with_and_says_so(keras_json):
    path = keras_json({"backend": "jax", "image_data_format": "channels_first", "floatx": "float16", "epsilon": 0.5})
    # What each command does first; then what Keras makes layers of.
    program = (
        "from tfdistill.commands import starting; starting.begin('train'); import keras; "
        "print(keras.backend.backend(), keras.backend.image_data_format(), keras.backend.floatx(), "
        "keras.backend.epsilon(), keras.config.dtype_policy().name, keras.config.max_epochs())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "KERAS_BACKEND": "torch", "KERAS_MAX_EPOCHS": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "tensorflow channels_last float32 1e-07 float32 None\n", done.stderr
    assert done.stderr.splitlines() == [
        "train.py: KERAS_BACKEND=torch is set aside: this command runs on tensorflow",
        "train.py: KERAS_MAX_EPOCHS=1 is set aside: this command runs as long as it is told to",
        f"train.py: {path}: image_data_format 'channels_first' is set aside: this command runs with 'channels_last'",
        f"train.py: {path}: floatx 'float16' is set aside: this command runs with 'float32'",
        f"train.py: {path}: epsilon 0.5 is set aside: this command runs with 1e-07",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ({"floatx": "bfloat16"}, "floatx cannot be 'bfloat16'; write 'float32', or delete the line"),
        ({"epsilon": 1}, "epsilon cannot be 1; write 1e-07, or delete the line"),
        (
            {"image_data_format": "last"},
            "image_data_format cannot be 'last'; write 'channels_last', or delete the line",
        ),
        ([], "must hold a JSON object; correct the file, or delete it"),
    ],
)
def test_what_keras_would_stop_at_is_one_line(keras_json, text, message):
    path = keras_json(text)
    with pytest.raises(ValueError) as caught:
        keras_settings.own_process()
    assert str(caught.value) == f"{path}: {message}"


def test_a_command_ends_with_that_line(keras_json):
    path = keras_json({"floatx": "bfloat16"})
    done = run_python("launch/preview.py", "--help", KERAS_HOME=str(path.parent))
    assert done.returncode == 2
    assert (
        done.stderr == f"preview.py: error: {path}: floatx cannot be 'bfloat16'; write 'float32', or delete the line\n"
    )


@pytest.mark.parametrize("text", [None, "no JSON", {}, {"backend": "tensorflow", "epsilon": 1e-7}])
def test_nothing_is_said_where_nothing_is_wrong(keras_json, text):
    if text is not None:
        keras_json(text)
    assert keras_settings.own_process() == []
    assert os.environ[keras_settings.BACKEND] == "tensorflow"


def without_keras(monkeypatch):
    monkeypatch.delitem(sys.modules, "keras")


def test_another_backend_is_refused_before_keras_is_imported(keras_json, monkeypatch):
    path = keras_json({"backend": "jax"})
    without_keras(monkeypatch)
    with pytest.raises(ImportError) as caught:
        keras_settings.require_tensorflow()
    assert str(caught.value) == (
        f"tfdistill needs Keras' backend 'tensorflow', but {path} says 'jax'; "
        "set KERAS_BACKEND=tensorflow in the environment before Keras is imported"
    )
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    with pytest.raises(ImportError, match="but KERAS_BACKEND says 'torch'"):
        keras_settings.require_tensorflow()
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    keras_settings.require_tensorflow()


def test_the_package_refuses_another_backend_when_it_imports_keras(keras_json):
    done = run_python("-c", "import tfdistill; print('so far'); tfdistill.DML", KERAS_BACKEND="jax")
    assert done.stdout == "so far\n"
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "ImportError: tfdistill needs Keras' backend 'tensorflow', but KERAS_B"
    )


def test_the_present_backend_counts_once_keras_is_imported(keras_json, monkeypatch):
    keras_json({"backend": "jax"})
    keras_settings.require_tensorflow()
    monkeypatch.setattr(keras.config, "backend", lambda: "torch")
    with pytest.raises(ImportError, match="but Keras, which is imported already, says 'torch'"):
        keras_settings.require_tensorflow()


def test_no_network_is_built_channels_first_or_in_float16(keras_json, monkeypatch):
    path = keras_json({"image_data_format": "channels_first"})
    monkeypatch.setattr(keras.config, "image_data_format", lambda: "channels_first")
    with pytest.raises(ValueError) as caught:
        networks.resnet8(classes=3)
    assert str(caught.value) == (
        f"Keras' image_data_format is 'channels_first', as {path} says; networks here are channels_last: "
        "call keras.config.set_image_data_format('channels_last') before any is built"
    )
    monkeypatch.undo()
    monkeypatch.setattr(keras.config, "floatx", lambda: "float16")
    with pytest.raises(ValueError, match=r"^Keras' floatx is 'float16'; .* keras.config.set_floatx\('float32'\)"):
        networks.resnet8(classes=3)
