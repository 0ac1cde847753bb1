"""Proof that a SavedModel is the network: loaded by a fresh process and compared with the live one."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from tfdistill.data.transforms.decoding import evaluated
from tfdistill.data.transforms.readings import Reading
from tfdistill.export.answers import Answer
from tfdistill.export.folders import ExportError
from tfdistill.export.kinds import answer_of
from tfdistill.export.samples import sample_files, sample_images
from tfdistill.export.saved_model import normalisation, precision

FLOAT32_TOLERANCE = 1e-5
# A bfloat16 number has eight significant bits: one rounding errs by up to 2^-9, and a graph that fuses
# operations otherwise than eager execution does moves a logit by some such roundings.
LOW_PRECISION_TOLERANCE = 2e-2
TIME_LIMIT_SECONDS = 600


def tolerance(network: keras.Model) -> float:
    """Returns the bound on an export's differences from this network, relative to max(1, |value|)."""
    return FLOAT32_TOLERANCE if precision(network) == "float32" else LOW_PRECISION_TOLERANCE


def live_taps(
    network: keras.Model, images: np.ndarray, mean: Sequence[float], std: Sequence[float], taps: Sequence[str]
) -> dict[str, np.ndarray]:
    """Taps of the live network for raw images [batch, height, width, channels], normalised here by NumPy, in float32.

    The network runs on the CPU, like the fresh process: kernels of other devices round otherwise.
    """
    scale, shift = normalisation(mean, std)
    with tf.device("CPU:0"):
        outputs = network(tf.constant(images * scale + shift), training=False)
        return {tap: tf.cast(outputs[tap], tf.float32).numpy() for tap in taps}


def evaluated_images(files: Sequence[bytes], image_shape: tuple[int, int, int], reading: Reading) -> np.ndarray:
    """Image files as evaluation reads them, float32 [files, *image_shape], in this process."""
    with tf.device("CPU:0"):
        return np.stack([evaluated(tf.constant(one), image_shape, reading) for one in files]).astype(np.float32)


def fresh_answers(saved_model: pathlib.Path, images: np.ndarray, encoded: Sequence[bytes]) -> dict[str, np.ndarray]:
    """Scores the images by a SavedModel in a new Python process that can import neither Keras nor tfdistill.

    Returns:
        What the signatures returned, by `raw_<output>` and `encoded_<output>`.

    Raises:
        ExportError: the process failed; the message ends with the last line it wrote.
    """
    program = pathlib.Path(__file__).with_name("fresh_process.py")
    # The accelerator belongs to this process, and may have no memory left for another.
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    # Beside the SavedModel, so that it goes with the folder that is written aside if this process is killed.
    saved_model = saved_model.resolve()
    with tempfile.TemporaryDirectory(prefix=".verify-", dir=saved_model.parent) as scratch:
        request, answer = pathlib.Path(scratch, "request.npz"), pathlib.Path(scratch, "answer.npz")
        content = np.frombuffer(b"".join(encoded), np.uint8)
        np.savez(request, images=images, content=content, ends=np.cumsum([len(one) for one in encoded]))
        # Through runpy the program's own folder, whose modules are ours, is not on the new process's path.
        start = "import runpy, sys; runpy.run_path(sys.argv.pop(1), run_name='__main__')"
        command = [sys.executable, "-c", start, program, saved_model, request, answer]
        try:
            done = subprocess.run(
                list(map(str, command)),
                env=environment,
                cwd=scratch,
                capture_output=True,
                timeout=TIME_LIMIT_SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise ExportError(f"a fresh process took over {TIME_LIMIT_SECONDS} s to score the SavedModel") from None
        if done.returncode:
            lines = done.stderr.decode(errors="replace").split("\n")
            lines = [line.strip() for line in lines if line.strip()]
            last = lines[-1] if lines else f"exit status {done.returncode}"
            raise ExportError(f"a fresh process could not score the SavedModel: {last}")
        with np.load(answer, allow_pickle=False) as answers:
            return dict(answers)


def verify(
    saved_model: pathlib.Path,
    network: keras.Model,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    reading: Reading,
    samples: Sequence[bytes] = (),
    answer: Answer | None = None,
) -> dict[str, float]:
    """Compares a SavedModel, all its signatures, with the live network.

    Signatures of raw images get fixed random ones; that of encoded ones gets image files of several kinds, and those
    given, which this process reads as evaluation does.

    Returns:
        {"tolerance", ..., "files"}: the tolerance; the largest difference found of each kind of values (for a
        classifier "logits" and "probabilities"), see `Answer.compared`; and how many image files were compared.

    Raises:
        ExportError: the fresh process failed, a difference is not below the tolerance, or taps are not finite.
    """
    answer = answer or answer_of(network)
    image_shape = tuple(network.input_shape[1:])
    images, files = sample_images(image_shape), [*sample_files(image_shape), *samples]
    read = {
        "raw": (images, np.tile(image_shape[:2], [len(images), 1])),
        "encoded": (evaluated_images(files, image_shape, reading), answer.sizes(files, image_shape, reading)),
    }
    answers = fresh_answers(saved_model, images, files)
    limit = tolerance(network)
    found: dict[str, float] = {}
    for kind, (pixels, sizes) in read.items():
        taps = live_taps(network, pixels, mean, std, answer.taps)
        for name, value in taps.items():
            if not np.isfinite(value).all():
                raise ExportError(f"the network's {name} are not finite")
        outputs = {name.removeprefix(f"{kind}_"): one for name, one in answers.items() if name.startswith(f"{kind}_")}
        compared = answer.compared(taps, outputs, sizes, limit)
        for name, difference in compared.differences.items():
            found[name] = max(found.get(name, 0.0), difference)
            if not difference < limit:
                raise ExportError(
                    f"the SavedModel's {name} ({kind} images) differ from the network's by {difference:.3g}, "
                    f"over {limit:g}"
                )
        if compared.fault:
            subject, text = compared.fault
            raise ExportError(f"the SavedModel's {subject} ({kind} images) {text}")
    return {"tolerance": limit, **found, "files": len(files)}
