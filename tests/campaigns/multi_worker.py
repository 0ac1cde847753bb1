"""One worker of a small run, the command itself but for its networks, which are tiny; for test_multi_worker.py.

    TF_CONFIG='{"cluster": ...}' python tests/campaigns/multi_worker.py --run=NAME --runs_dir=FOLDER --export_dir=FOLDER

Without TF_CONFIG it is the whole run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "benchmarks"))

from workers import tasks  # noqa: E402, F401  (offered to the test)

FLAGS = [
    "--method=dml",
    "--networks=resnet8,resnet8",
    "--dataset=digits",
    "--train_examples=64",
    "--batch_size=16",
    "--epochs=6",
    "--learning_rate=0.05",
    "--steps_per_execution=2",
    "--checkpoint_seconds=0.1",
]


def start(folder: Path, run: str, task: dict | None = None, *more_flags: str) -> subprocess.Popen:
    """The run, or with `task` (a TF_CONFIG) one worker of it, as a process whose output can be read."""
    where = [f"--runs_dir={folder}", f"--export_dir={folder / 'exports'}", f"--run={run}"]
    command = [sys.executable, str(Path(__file__)), *where, *more_flags]
    environment = {name: value for name, value in os.environ.items() if name != "TF_CONFIG"}
    environment |= {"TF_CPP_MIN_LOG_LEVEL": "3"} | ({"TF_CONFIG": json.dumps(task)} if task else {})
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def build_networks(data):
    """Two networks that a batch's parts train as the whole does: batch normalization looks on, and takes no part.

    Its running mean over the images is the mean over the workers of theirs.
    """
    import keras

    from tfdistill.networks.layers import BatchNormalization

    networks = []
    for seed, name in enumerate(("resnet8_1", "resnet8_2")):
        images = keras.Input(data.image_shape, name="images")
        draw = keras.initializers.HeNormal(seed=seed)
        maps = keras.layers.Conv2D(8, 3, 2, activation="relu", kernel_initializer=draw, name="conv")(images)
        embedding = keras.layers.GlobalAveragePooling2D(name="embedding")(maps)
        logits = keras.layers.Dense(10, kernel_initializer=draw, name="logits")(embedding)
        watched = BatchNormalization(center=False, scale=False, name="watched")(images)
        networks.append(keras.Model(images, {"features": maps, "logits": logits, "watched": watched}, name=name))
    return networks


def export_network(network, folder, *, card, **others):
    """Calls the network, which hangs if that needs the other workers, and writes down its weights."""
    import numpy as np

    folder.mkdir(parents=True)
    logits = network(np.ones((2, *network.input_shape[1:]), "float32"))["logits"]
    np.savez(folder / "weights.npz", *[np.asarray(weight) for weight in network.weights], logits=logits)
    return folder


def main() -> int:
    sys.path.insert(0, str(ROOT))
    from tfdistill.commands import starting

    starting.begin("train")
    from tfdistill.commands import train
    from tfdistill.runs import building, run_exports

    building.build_networks = build_networks
    run_exports.export.export_network = export_network
    return train.main([*FLAGS, *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
