"""Checkpoints, the record, TensorBoard and the terminal, around a distiller of two tiny networks."""

import io
import os
import signal
import time
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tfdistill.methods import DML
from tfdistill.networks.layers import BatchNormalization, Dropout
from tfdistill.optimizers import OptimizerSettings
from tfdistill.runs import callbacks, checkpoints, watching

STEPS, EPOCHS, BATCH = 4, 2, 4
SETTINGS = OptimizerSettings(learning_rate=0.1, nesterov=True, weight_decay=1e-3, schedule="step", milestones=(1,))
NEVER, ALWAYS = 1e9, 0.0


def network(name, seed):
    """With everything that has state: BatchNorm's statistics and Dropout's generator."""
    images = keras.Input((1, 1, 3), name="images")
    x = BatchNormalization(name="norm")(keras.layers.Flatten()(images))
    x = Dropout(0.3, seed=seed, name="dropout")(x)
    draw = keras.initializers.RandomNormal(seed=seed)
    return keras.Model(images, {"logits": keras.layers.Dense(2, kernel_initializer=draw, name="logits")(x)}, name=name)


def batches(first_step=0, *, broken_at=None):
    """An endless stream that is a function of the step; at `broken_at` the images are not numbers."""

    def batch(step):
        seed = tf.stack([step, 0])
        images = tf.random.stateless_normal((BATCH, 1, 1, 3), seed)
        if broken_at is not None:
            images = tf.where(step == broken_at, np.nan, images)
        return {"images": images, "labels": tf.cast(images[:, 0, 0, 0] > 0, tf.int32)}

    return tf.data.Dataset.range(first_step, 1000).map(batch)


class Run:
    """A distiller with the callbacks of a run, in the order of a run."""

    def __init__(self, folder, *, seconds=NEVER):
        self.distiller = DML([network("one", 1), network("two", 2)])
        self.distiller.compile({"networks": SETTINGS}, xla="off")
        self.distiller.prepare(steps_per_epoch=STEPS, epochs=EPOCHS)
        self.written = []
        self.folder = folder / "checkpoints"
        self.record = callbacks.Record(BATCH, lambda rows: self.written.append(len(rows)))
        self.checkpoints = callbacks.Checkpoints(self.folder, self.record, seconds)
        self.restored = callbacks.RestoredMetrics({})

    def fit(self, *others, epoch=0, epochs=EPOCHS, steps=STEPS, broken_at=None, score=False):
        return self.distiller.fit(
            batches(self.distiller.steps_trained, broken_at=broken_at),
            initial_epoch=epoch,
            epochs=epochs,
            steps_per_epoch=steps,
            validation_data=batches(500).take(2) if score else None,
            callbacks=[self.restored, self.record, *others, self.checkpoints],
            shuffle=False,
            verbose=0,
        )

    def restore(self):
        found = checkpoints.newest(self.folder)
        checkpoints.assign(self.distiller.state(), found.arrays)
        self.distiller.steps_trained = found.step
        self.record.restore(found.metadata)
        self.restored = callbacks.RestoredMetrics(found.arrays)
        return found.step

    def state(self):
        return {name: np.array(variable.numpy()) for name, variable in self.distiller.state().items()}


class At(keras.callbacks.Callback):
    """Does something after the given step."""

    def __init__(self, step, action):
        super().__init__()
        self.step, self.action = step, action

    def on_train_batch_end(self, batch, logs=None):
        if self.model.steps_trained == self.step:
            self.action()


@pytest.fixture
def signals():
    """Puts the process's own handlers back."""
    numbers = (signal.SIGTERM, signal.SIGINT)
    handlers = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, handlers, strict=True):
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nobody interrupts, with everything that watches it."""
    folder = tmp_path_factory.mktemp("whole") / "my_run"
    run = Run(folder)
    board = watching.TensorBoard(
        folder / "logs", run.record, "--seed=3\n--method=dml\n", {"seed": 3, "method": "dml"}, 3
    )
    run.fit(board, score=True)
    run.checkpoints.save()
    return run, folder


def test_a_run_stopped_by_a_signal_ends_bit_for_bit_as_one_that_was_not(whole, tmp_path, signals):
    """Weights, optimizers, generators, and the training metrics of the epoch that was cut in two."""
    expected, _ = whole
    first = Run(tmp_path)
    first.checkpoints.signals.listen()
    with pytest.raises(callbacks.Stopped) as stopped:
        first.fit(At(STEPS + 2, lambda: os.kill(os.getpid(), signal.SIGTERM)), score=True)
    assert stopped.value.exit_status == 128 + signal.SIGTERM
    assert str(stopped.value) == "stopped by SIGTERM at step 6, which was saved"
    second = Run(tmp_path)
    assert second.restore() == STEPS + 2
    assert [row["epoch"] for row in second.record.rows] == [1]
    second.fit(epoch=1, steps=STEPS - 2, score=True)
    found, wanted = second.state(), expected.state()
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    for row, other in zip(second.record.rows, expected.record.rows, strict=True):
        speed = "images_per_second"
        assert {**row, speed: None} == {**other, speed: None}


def test_a_second_signal_does_as_usual(tmp_path, signals):
    run = Run(tmp_path)
    run.checkpoints.signals.listen()
    run.checkpoints.signals.patient = True
    os.kill(os.getpid(), signal.SIGINT)
    for number in (signal.SIGINT, signal.SIGTERM):
        assert signal.getsignal(number) is signal.SIG_DFL
    with pytest.raises(callbacks.Stopped, match="SIGINT at step 1,"):
        run.fit()
    assert checkpoints.newest(run.folder).step == 1


def test_a_signal_while_scoring_keeps_the_epochs_training_numbers(whole, tmp_path, signals):
    """The record of the epoch is not written yet then, and scoring has reset the metrics: the logs have them."""
    expected, _ = whole

    class Kill(keras.callbacks.Callback):
        def on_test_batch_begin(self, batch, logs=None):
            os.kill(os.getpid(), signal.SIGTERM)

    run = Run(tmp_path)
    run.checkpoints.signals.listen()
    with pytest.raises(callbacks.Stopped, match="at step 4,"):
        run.fit(Kill(), score=True)
    found = checkpoints.newest(run.folder)
    assert (found.step, found.metadata["rows"]) == (STEPS, [])
    assert found.metadata["logs"]
    row = expected.record.rows[0]
    assert found.metadata["logs"] == {name: row[name] for name in found.metadata["logs"]}


def test_a_loss_that_is_no_number_stops_the_run_and_leaves_the_checkpoints_of_before(tmp_path):
    run = Run(tmp_path, seconds=ALWAYS)
    with pytest.raises(FloatingPointError, match=r"^one/\w+ is not finite at step 6, in epoch 2: the run diverged"):
        run.fit(broken_at=5)
    assert checkpoints.newest(run.folder).step == 5
    for name, array in checkpoints.newest(run.folder).arrays.items():
        assert np.all(np.isfinite(array)), name


def test_no_checkpoint_before_its_time(tmp_path, monkeypatch):
    run = Run(tmp_path, seconds=100.0)
    now = [time.monotonic()]
    monkeypatch.setattr(callbacks.time, "monotonic", lambda: now[0])
    saved = []
    monkeypatch.setattr(callbacks.checkpoints, "save", lambda folder, step, arrays, metadata: saved.append(step))

    def wait():
        now[0] += 101.0

    run.fit(At(3, wait), At(7, wait))
    assert saved == [3, 7]


def test_a_checkpoint_holds_the_state_and_the_record(whole):
    run, _ = whole
    found = checkpoints.newest(run.folder)
    assert found.step == STEPS * EPOCHS
    assert found.arrays.keys() == run.distiller.state().keys()
    assert found.metadata["rows"] == run.record.rows
    assert found.metadata["seconds"] > 0


def test_the_record_has_a_row_per_epoch(whole):
    run, _ = whole
    first, second = run.record.rows
    assert (first["epoch"], first["step"], second["epoch"], second["step"]) == (1, 4, 2, 8)
    assert run.written == [1, 2]
    # The rate that the epoch's steps had: for the second epoch it has dropped.
    assert [row["learning_rate/two"] for row in (first, second)] == pytest.approx([0.1, 0.01])
    for name in ("one/loss", "two/mutual", "one/accuracy", "val_one/top5", "val_ensemble/accuracy"):
        assert np.isfinite(first[name])
    assert first["images_per_second"] > 0


def test_an_epoch_done_again_replaces_its_row():
    class Model:
        steps_trained, update_optimizers, plan = 8, {}, ("its only phase",)

    record = callbacks.Record(BATCH, lambda rows: None)
    record.set_model(Model())
    for epoch, loss in ((0, 3.0), (1, 2.0), (1, 1.0)):
        record.on_epoch_end(epoch, {"one/loss": loss, "loss": 0.0})
    assert [(row["epoch"], row["one/loss"]) for row in record.rows] == [(1, 3.0), (2, 1.0)]


def test_time_adds_up_over_resumes():
    record = callbacks.Record(BATCH, lambda rows: None)
    record.restore({"rows": [], "logs": {}, "seconds": 1000.0})
    assert 1000.0 <= record.state()["seconds"] < 1100.0


def test_tensorboard_has_the_same_tags_for_training_and_evaluation(whole):
    _, folder = whole
    events = {}
    for part in ("training", "evaluation"):
        events[part] = EventAccumulator(str(folder / "logs" / part))
        events[part].Reload()
    training, evaluation = (set(events[part].Tags()["tensors"]) for part in ("training", "evaluation"))
    assert {"flags", "learning_rate/one", "images_per_second", "one/mutual", "two/loss", "two/accuracy"} <= training
    assert {"one/accuracy", "two/top5", "ensemble/accuracy"} <= evaluation
    assert {"one/accuracy", "two/accuracy"} <= training & evaluation
    assert "epoch" in training and "step" not in training
    assert [event.step for event in events["evaluation"].Tensors("ensemble/accuracy")] == [4, 8]
    assert [event.step for event in events["training"].Tensors("one/accuracy")] == [3, 4, 6, 8]
    text = tf.make_ndarray(events["training"].Tensors("flags")[0].tensor_proto).item().decode()
    assert text == "    --seed=3\n    --method=dml"
    assert events["evaluation"].PluginTagToContent("hparams")


def test_a_log_file_gets_one_line_per_epoch(tmp_path, capsys):
    run = Run(tmp_path)
    progress = watching.Progress(EPOCHS, STEPS * EPOCHS, run.record)
    assert not progress._line.interactive
    capsys.readouterr()
    run.fit(progress)
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == "compiling the first step" and len(lines) == EPOCHS
    assert lines[0].startswith("epoch 1/2 step 4/8: one/accuracy 0.") and "two/accuracy" in lines[0]
    assert lines[1].startswith("epoch 2/2 step 8/8: ") and lines[1].endswith(" images/s, 0:00:00 left")


class Watched:
    """`Progress` on a run that is made up: 2 images a second in batches of 4, 100 steps of 2 s in 2 epochs."""

    steps_trained, plan, task = 0, ("its only phase",), types.SimpleNamespace(headline="accuracy")

    def __init__(self, terminal: bool) -> None:
        self.seconds, self.output = 0.0, io.StringIO()
        self.output.isatty = lambda: terminal
        record = types.SimpleNamespace(batch_size=4, images_per_second=2.0)
        self.progress = watching.Progress(2, 100, record, output=self.output, clock=lambda: self.seconds)
        self.progress.set_model(self)

    def epoch(self, number: int) -> list[str]:
        """What an epoch of 50 steps prints; the first step of all is compiled for half a minute."""
        begin = len(self.output.getvalue())
        self.progress.on_train_begin()
        self.progress.on_epoch_begin(number)
        for step in range(50):
            self.steps_trained += 1
            self.seconds += 2.0 if self.steps_trained > 1 else 30.0
            self.progress.on_train_batch_end(step, {"one/accuracy": 0.25, "one/loss": 1.0})
        self.progress.on_test_begin()
        self.progress.on_epoch_end(number, {"one/accuracy": 0.25, "one/loss": 1.0, "val_one/accuracy": 0.5})
        return self.output.getvalue()[begin:].split("\n")


def test_a_file_has_a_line_after_compiling_and_then_one_per_minute_and_epoch():
    watched = Watched(terminal=False)
    rate = "0.5 steps/s, 2 images/s"
    assert watched.epoch(0) == [
        "compiling the first step",
        f"epoch 1/2 step 6/100: one/accuracy 0.2500  {rate}, 0:03:08 left",
        f"epoch 1/2 step 36/100: one/accuracy 0.2500  {rate}, 0:02:08 left",
        f"epoch 1/2 step 50/100: one/accuracy 0.2500 val_one/accuracy 0.5000  {rate}, 0:01:40 left",
        "",
    ]
    assert [line.split(":")[0] for line in watched.epoch(1)] == ["epoch 2/2 step 80/100", "epoch 2/2 step 100/100", ""]


def test_a_terminal_has_one_line_that_is_renewed_and_kept_where_an_epoch_ends(monkeypatch):
    monkeypatch.setenv("COLUMNS", "50")
    watched = Watched(terminal=True)
    line, rest = watched.epoch(0)
    drawn = line.split("\r")
    assert rest == "" and drawn[0] == "compiling the first step" and drawn[-2].rstrip() == "epoch 1/2 scoring"
    assert len(drawn) == 50 + 3 and all(len(one) <= 49 for one in drawn[:-1])
    assert drawn[1] == "epoch 1/2 step 1/100: one/accuracy 0.2500  0.5 st"
    assert len(drawn[-2]) == len(drawn[-3]), "what was drawn before is blanked out"
    assert drawn[-1].startswith("epoch 1/2 step 50/100: ") and drawn[-1].endswith(" 0:01:40 left")


@pytest.mark.parametrize(("seconds", "shown"), [(0.4, "0:00:00"), (61.0, "0:01:01"), (36_125.9, "10:02:05")])
def test_durations(seconds, shown):
    assert watching.duration(seconds) == shown


def test_restored_metrics_serve_one_epoch_only(tmp_path):
    run = Run(tmp_path)
    tracker = next(name for name in run.distiller.state() if name.startswith("metrics/one/loss"))
    arrays = {name: array + 5 for name, array in run.state().items() if name.startswith("metrics/")}
    restored = callbacks.RestoredMetrics({**arrays, "networks/else": np.zeros(1)})
    restored.set_model(run.distiller)
    restored.on_epoch_begin(0)
    assert run.state()[tracker] == 5
    run.distiller.reset_metrics()
    restored.on_epoch_begin(1)
    assert run.state()[tracker] == 0
