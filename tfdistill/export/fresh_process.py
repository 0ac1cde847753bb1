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
    """Runs all signatures on the request's images and writes what they return."""
    signatures = tf.saved_model.load(saved_model).signatures
    with np.load(request_file, allow_pickle=False) as request:
        images, ends, content = request["images"], request["ends"], request["content"].tobytes()
    starts = [0, *ends[:-1]]
    encoded = [content[start:end] for start, end in zip(starts, ends, strict=True)]
    inputs = {"images": tf.constant(images, tf.float32), "encoded": tf.constant(encoded, tf.string)}
    answers: dict[str, dict[str, tf.Tensor]] = {"images": {}, "encoded": {}}
    for signature in signatures.values():
        ((name, _),) = signature.structured_input_signature[1].items()
        answers[name].update(signature(**{name: inputs[name]}))
    loaded = [name for name in sys.modules if name.split(".")[0] in ("keras", "tfdistill") and sys.modules[name]]
    if loaded:
        raise RuntimeError(f"scoring imported {loaded}")
    np.savez(
        answer_file,
        **{f"raw_{name}": value.numpy() for name, value in answers["images"].items()},
        **{f"encoded_{name}": value.numpy() for name, value in answers["encoded"].items()},
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
