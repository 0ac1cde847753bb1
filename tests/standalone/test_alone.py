"""The folder `standalone`, copied to where there is no tfdistill, asks an export; so does launch/predict.py."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def saved(tmp_path) -> Path:
    """A network that says of every image file that it is of class 1 of two."""
    model = tf.Module()
    spec = tf.TensorSpec([None], tf.string, "encoded")
    answer = tf.function(lambda encoded: {"probabilities": tf.tile([[0.2, 0.8]], [tf.size(encoded), 1])}, [spec])
    images = tf.TensorSpec([None, 4, 4, 3], tf.float32, "images")
    other = tf.function(lambda images: {"probabilities": tf.tile([[0.2, 0.8]], [tf.shape(images)[0], 1])}, [images])
    signatures = {"serving_default": other, "encoded_images": answer}
    tf.saved_model.save(model, str(tmp_path / "saved" / "1"), signatures=signatures)
    Image.new("RGB", (4, 4)).save(tmp_path / "cat.png")
    return tmp_path / "saved"


@pytest.mark.parametrize("copied", [True, False], ids=["copied", "launch"])
def test_an_export_is_asked_without_tfdistill(copied, saved, tmp_path):
    shutil.copytree(ROOT / "tfdistill" / "standalone", tmp_path / "standalone")
    # Whoever imports it finds this one, and fails.
    (tmp_path / "tfdistill.py").write_text("raise ImportError('nothing of tfdistill')")
    (tmp_path / "keras.json").write_text('{"floatx": "bfloat16"}')  # Keras refuses to be imported with it
    program = ["-m", "standalone"] if copied else [str(ROOT / "launch" / "predict.py")]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "KERAS_HOME": str(tmp_path), "KERAS_BACKEND": "torch"}
    done = subprocess.run(
        [sys.executable, *program, str(saved), "cat.png", "dog.png"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "cat.png: 1 with probability 0.800\n" in done.stdout, done.stderr
    assert (done.returncode, done.stderr) == (1, "predict.py: dog.png: there is no such file\n")
