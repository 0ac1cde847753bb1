import errno
import importlib.util
import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from absl import logging

from tfdistill.runs import checkpoints
from tfdistill.runs.checkpoints import CheckpointError, assign, newest, save

ARRAYS = {
    "network/stem/kernel": np.arange(24, dtype=np.float32).reshape(2, 3, 4) - 11.5,
    "optimizer/iterations": np.array(7, dtype=np.int64),
    "seed/state": np.array([1, 4_000_000_000], dtype=np.uint32),
    "mask": np.array([True, False]),
    "empty": np.zeros((0, 5), np.float32),
    # Names at which numpy.savez or numpy.load trip.
    "file": np.float32([1.0]),
    "allow_pickle": np.float32([2.0]),
    "name.npy": np.float32([3.0]),
    "transposed": np.arange(6, dtype=np.float32).reshape(2, 3).T,
}
METADATA = {"epoch": 3, "history": [{"loss": 0.1 + 0.2}, {"loss": None}], "method": "dml"}


def arrays_of(value: float) -> dict[str, np.ndarray]:
    return {"a/kernel": np.full((8, 8), value, np.float32)}


def flip_bit(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 0b100
    path.write_bytes(bytes(data))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def steps(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def warnings(monkeypatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(logging, "warning", lambda message, *args: lines.append(message % args))
    return lines


def test_everything_comes_back_bit_for_bit(tmp_path):
    path = save(tmp_path / "a folder" / "checkpoints", 1234, ARRAYS, METADATA)
    assert path.name == "step_00001234"
    found = newest(path.parent)
    assert (found.step, found.metadata, found.path) == (1234, METADATA, path)
    assert found.arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found.arrays[name].dtype == array.dtype and found.arrays[name].shape == array.shape
        assert found.arrays[name].tobytes() == array.tobytes()
        assert found.arrays[name].flags.writeable


def test_numpy_alone_can_read_the_arrays(tmp_path):
    path = save(tmp_path, 1, ARRAYS, {})
    with np.load(path / "arrays.npz") as archive:
        np.testing.assert_array_equal(archive["network/stem/kernel"], ARRAYS["network/stem/kernel"])


def test_manifest_states_sizes_shapes_and_time(tmp_path):
    path = save(tmp_path, 5, ARRAYS, METADATA)
    manifest = json.loads((path / "manifest.json").read_text())
    assert manifest["format_version"] == 1 and manifest["step"] == 5
    assert manifest["file"]["bytes"] == (path / "arrays.npz").stat().st_size
    assert manifest["arrays"]["seed/state"] == {"shape": [2], "dtype": "<u4"}
    assert manifest["written"].endswith("+00:00")


def test_none_where_none_was_ever_written(tmp_path):
    assert newest(tmp_path / "absent") is None
    assert newest(tmp_path) is None
    (tmp_path / "events.out").write_text("not a checkpoint")
    assert newest(tmp_path) is None


@pytest.mark.parametrize("file", ["arrays.npz", "manifest.json"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda path: flip_bit(path, 0),
        lambda path: flip_bit(path, path.stat().st_size // 2),
        truncate,
        lambda path: path.write_bytes(b""),
        Path.unlink,
    ],
    ids=["first byte", "middle byte", "truncated", "empty", "missing"],
)
def test_a_damaged_one_is_named_and_the_one_before_it_read(tmp_path, warnings, file, damage):
    save(tmp_path, 1, arrays_of(1), {"epoch": 1})
    path = save(tmp_path, 2, arrays_of(2), {"epoch": 2})
    damage(path / file)
    found = newest(tmp_path)
    assert found.step == 1 and found.metadata == {"epoch": 1}
    np.testing.assert_array_equal(found.arrays["a/kernel"], arrays_of(1)["a/kernel"])
    assert len(warnings) == 1 and "step_00000002 is damaged: " in warnings[0] and file in warnings[0]


def test_no_flipped_bit_is_read_as_something_else(tmp_path, warnings):
    whole = save(tmp_path, 1, {"w": np.float32([1, 2])}, {"epoch": 1})
    expected = newest(whole.parent)
    detected = 0
    for file in ("arrays.npz", "manifest.json"):
        original = (whole / file).read_bytes()
        for position in range(len(original)):
            flip_bit(whole / file, position)
            try:
                found = newest(whole.parent)
            except CheckpointError:
                detected += 1
            else:  # Only the manifest's white space may change without a trace.
                assert file == "manifest.json"
                assert (found.metadata, found.step) == (expected.metadata, expected.step)
                np.testing.assert_array_equal(found.arrays["w"], expected.arrays["w"])
            (whole / file).write_bytes(original)
    assert detected > 500


def test_all_damaged_raises_and_names_each(tmp_path, warnings):
    for step in (1, 2):
        truncate(save(tmp_path, step, arrays_of(step), {}) / "arrays.npz")
    with pytest.raises(CheckpointError) as caught:
        newest(tmp_path)
    message = str(caught.value)
    assert "every checkpoint" in message and "\n" not in message
    assert "step_00000001 (arrays.npz has" in message and "step_00000002 (arrays.npz has" in message


def test_a_manifest_of_another_step_is_damage(tmp_path, warnings):
    save(tmp_path, 1, arrays_of(1), {})
    (tmp_path / "step_00000001").rename(tmp_path / "step_00000009")
    with pytest.raises(CheckpointError, match=r"step_00000009 .*is of step 1"):
        newest(tmp_path)


def test_a_newer_format_is_refused_by_its_number(tmp_path, warnings, monkeypatch):
    monkeypatch.setattr(checkpoints.writing, "FORMAT_VERSION", 2)
    save(tmp_path, 1, arrays_of(1), {})
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="has format version 2, not 1"):
        newest(tmp_path)


def test_killed_while_writing_leaves_the_one_before_and_is_swept_up(tmp_path, warnings):
    save(tmp_path, 1, arrays_of(1), {})
    half = tmp_path / "step_00000002.writing"
    half.mkdir()
    (half / "arrays.npz").write_bytes(b"PK half")
    assert newest(tmp_path).step == 1 and warnings == []
    save(tmp_path, 3, arrays_of(3), {})
    assert steps(tmp_path) == ["step_00000001", "step_00000003"]


def test_killed_in_the_first_save_is_no_checkpoint_and_saving_again_works(tmp_path):
    (tmp_path / "step_00000001.writing").mkdir()
    assert newest(tmp_path) is None
    save(tmp_path, 1, arrays_of(1), {})
    assert newest(tmp_path).step == 1 and steps(tmp_path) == ["step_00000001"]


def test_killed_between_the_two_renames_of_a_replacement_loses_nothing(tmp_path, warnings):
    path = save(tmp_path, 1, arrays_of(1), {"epoch": 1})
    path.rename(tmp_path / "step_00000001.replaced")
    assert newest(tmp_path).metadata == {"epoch": 1}
    save(tmp_path, 1, arrays_of(1), {"epoch": 1.5})
    assert newest(tmp_path).metadata == {"epoch": 1.5} and steps(tmp_path) == ["step_00000001"]


def test_keeps_the_newest(tmp_path):
    for step in range(1, 6):
        save(tmp_path, step, arrays_of(step), {}, keep=3)
    assert steps(tmp_path) == ["step_00000003", "step_00000004", "step_00000005"]


def test_damaged_ones_do_not_count_as_kept(tmp_path, warnings):
    save(tmp_path, 1, arrays_of(1), {})
    truncate(save(tmp_path, 2, arrays_of(2), {}) / "arrays.npz")
    save(tmp_path, 3, arrays_of(3), {})
    assert steps(tmp_path) == ["step_00000001", "step_00000002", "step_00000003"]
    save(tmp_path, 4, arrays_of(4), {})
    assert steps(tmp_path) == ["step_00000003", "step_00000004"]


def test_a_save_never_removes_itself_in_favour_of_later_damaged_ones(tmp_path, warnings):
    save(tmp_path, 10, arrays_of(10), {})
    for step in (20, 30):
        truncate(save(tmp_path, step, arrays_of(step), {}) / "arrays.npz")
    save(tmp_path, 15, arrays_of(15), {})
    assert newest(tmp_path).step == 15


@pytest.mark.parametrize("damaged", [False, True])
def test_the_same_step_again_is_kept_if_whole_and_replaced_if_damaged(tmp_path, damaged):
    path = save(tmp_path, 1, arrays_of(1), METADATA)
    before = path.stat().st_ino
    if damaged:
        flip_bit(path / "arrays.npz", 100)
    save(tmp_path, 1, arrays_of(1), METADATA)
    assert (path.stat().st_ino == before) is not damaged
    assert newest(tmp_path).metadata == METADATA and steps(tmp_path) == ["step_00000001"]


def test_the_same_step_with_other_content_is_replaced(tmp_path):
    save(tmp_path, 1, arrays_of(1), METADATA)
    save(tmp_path, 1, arrays_of(2), METADATA)
    np.testing.assert_array_equal(newest(tmp_path).arrays["a/kernel"], arrays_of(2)["a/kernel"])


@pytest.mark.parametrize("call", ["numpy.lib.format.write_array", "os.fsync", "pathlib.Path.rename"])
def test_a_full_disk_leaves_the_earlier_ones_alone(tmp_path, monkeypatch, call):
    save(tmp_path, 1, arrays_of(1), {})
    save(tmp_path, 2, arrays_of(2), {})

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(call, full)
        with pytest.raises(CheckpointError, match=r"step 3 was not written .*: No space left") as caught:
            save(tmp_path, 3, arrays_of(3), {})
    assert "\n" not in str(caught.value)
    assert steps(tmp_path) == ["step_00000001", "step_00000002"] and newest(tmp_path).step == 2


def test_a_file_in_the_folders_place_is_one_line(tmp_path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(CheckpointError, match=r"not written to .*runs"):
        save(tmp_path / "runs", 1, arrays_of(1), {})
    with pytest.raises(CheckpointError, match="cannot be listed"):
        newest(tmp_path / "runs")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"step": -1}, "step must be an int of 0 or more, got -1"),
        ({"step": 1.0}, "step must be an int"),
        ({"step": True}, "step must be an int"),
        ({"keep": 1}, "keep must be an int of 2 or more"),
        ({"arrays": {"": np.zeros(1)}}, "names of arrays must be non-empty text"),
        ({"arrays": {"a": np.array(["text"])}}, "array 'a' has dtype <U4"),
        ({"arrays": {"a": tf.zeros([1], tf.bfloat16).numpy()}}, "array 'a' has dtype bfloat16"),
        ({"metadata": {"a": np.zeros(1)}}, "metadata must be what JSON can hold"),
    ],
)
def test_wrong_arguments_are_named_and_nothing_is_written(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        save(tmp_path, **{"step": 1, "arrays": arrays_of(1), "metadata": {}, **changes})
    assert steps(tmp_path) == []


def variables_of_every_kind() -> dict:
    return {
        "a": tf.Variable([1.0, 2.0]),
        "b": keras.Variable(np.zeros((2, 2), np.float32)),
        "c": keras.Variable(np.zeros(2), dtype="bfloat16"),
        "seed": tf.Variable([1, 2], dtype=tf.uint32),
        "channels": keras.Variable(np.zeros(2), dtype="int64"),
    }


def arrays_for_them() -> dict[str, np.ndarray]:
    return {
        "a": np.float32([3, 4]),
        "b": np.ones((2, 2), np.float32),
        "c": np.float32([5, 6]),
        "seed": np.uint32([7, 8]),
        "channels": np.int32([9, 10]),  # as older versions kept them
    }


def test_assign_sets_every_kind_of_variable():
    variables = variables_of_every_kind()
    assign(variables, arrays_for_them())
    for name, array in arrays_for_them().items():
        np.testing.assert_array_equal(np.asarray(tf.convert_to_tensor(variables[name])), array)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": None}, "the checkpoint has no array for variable 'seed'$"),
        ({"seed": None, "seeds": np.zeros(2)}, "variable 'seed'; the nearest it has is 'seeds'$"),
        ({"a": None, "seed": None}, r"no array for variable 'a' \(and 1 more\)$"),
        ({"d": np.zeros(2)}, "array 'd' belongs to no variable$"),
        ({"seed": np.zeros(3, np.uint32)}, r"'seed' has shape \(2,\), its array in the checkpoint \(3,\)$"),
        ({"seed": np.zeros(2, np.int64)}, "variable 'seed' is uint32, its array in the checkpoint int64$"),
    ],
)
def test_assign_checks_everything_before_it_touches_anything(changes, message):
    variables = variables_of_every_kind()
    arrays = {name: array for name, array in {**arrays_for_them(), **changes}.items() if array is not None}
    with pytest.raises(CheckpointError, match=message):
        assign(variables, arrays)
    np.testing.assert_array_equal(variables["a"].numpy(), [1.0, 2.0])
    np.testing.assert_array_equal(variables["b"].numpy(), np.zeros((2, 2)))


def test_no_damage_is_read_as_something_else():
    """Part of the campaign: tests/campaigns/damage_checkpoints.py."""
    path = Path(__file__).parents[1] / "campaigns" / "damage_checkpoints.py"
    spec = importlib.util.spec_from_file_location("damage_checkpoints", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    counts, wrong = script.try_all(60)
    assert wrong == []
    assert counts[script.NAMED] > 100 and counts[script.ONE_LINE] > 100 and counts.total() > 300
