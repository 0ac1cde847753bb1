"""Scores a SavedModel as a stranger would; run as a program by `verify.py`, never imported.

Usage: fresh_process.py SAVED_MODEL REQUEST.npz ANSWER.npz
"""

import sys

# Made impossible to import, not merely left unimported: TensorFlow itself imports Keras where it can, and a
# layer class that happened to be at hand could hide that the SavedModel needs it.
for package in ("keras", "tfdistill"):
    sys.modules[package] = None  # type: ignore[assignment]

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402


def main(saved_model: str, request_file: str, answer_file: str) -> None:
    """Runs both signatures on the request's images and writes what they return."""
    signatures = tf.saved_model.load(saved_model).signatures
    with np.load(request_file, allow_pickle=False) as request:
        images, ends, content = request["images"], request["ends"], request["content"].tobytes()
    starts = [0, *ends[:-1]]
    encoded = [content[start:end] for start, end in zip(starts, ends, strict=True)]
    answers = {
        "raw": signatures["serving_default"](images=tf.constant(images, tf.float32)),
        "encoded": signatures["encoded_images"](encoded=tf.constant(encoded, tf.string)),
    }
    loaded = [name for name in sys.modules if name.split(".")[0] in ("keras", "tfdistill") and sys.modules[name]]
    if loaded:
        raise RuntimeError(f"scoring imported {loaded}")
    np.savez(
        answer_file,
        **{f"{kind}_{name}": value.numpy() for kind, values in answers.items() for name, value in values.items()},
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
