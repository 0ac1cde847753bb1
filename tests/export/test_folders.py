"""What lies around an export: folders written aside, what killed processes leave of them, and the server's list."""

import fcntl
from pathlib import Path

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from tfdistill.export import repair_models_config, write_models_config
from tfdistill.export.asides import replace_text, written_aside
from tfdistill.export.folders import versions


def networks_of(config: Path) -> dict[str, str]:
    """Name and base path of every network in a list, as the server's own messages parse it."""
    listed = text_format.Parse(config.read_text(), model_server_config_pb2.ModelServerConfig())
    assert {model.model_platform for model in listed.model_config_list.config} <= {"tensorflow"}
    return {model.name: model.base_path for model in listed.model_config_list.config}


@pytest.fixture
def run(tmp_path) -> Path:
    """A run's folder with one exported network, as far as the list needs to know."""
    (tmp_path / "run" / "tiny" / "1").mkdir(parents=True)
    (tmp_path / "run" / "tiny" / "1" / "saved_model.pb").touch()
    return tmp_path / "run"


def test_writing_aside_survives_an_interrupt_without_a_trace(tmp_path):
    (tmp_path / "run").mkdir()
    with pytest.raises(KeyboardInterrupt), written_aside(tmp_path / "run" / "tiny") as aside:
        assert aside.is_dir() and versions(aside.parent) == {}
        (aside / "saved_model.pb").touch()
        raise KeyboardInterrupt
    assert list(tmp_path.rglob("*")) == [tmp_path / "run"]


def test_what_killed_exports_left_goes_with_the_next_one_and_what_lives_stays(tmp_path):
    (tmp_path / ".export-of-old" / "variables").mkdir(parents=True)
    (tmp_path / ".models.config-0123").touch()
    (tmp_path / ".other").touch()
    with written_aside(tmp_path) as living:
        assert sorted(tmp_path.iterdir()) == sorted([living, tmp_path / ".other"])
        (living / "file").touch()
        (tmp_path / ".export-killed").mkdir()
        replace_text(tmp_path / "list", "text")
        assert sorted(tmp_path.iterdir()) == sorted([living, tmp_path / ".other", tmp_path / "list"])
        assert (living / "file").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".other", "list"]


def test_a_folder_taken_for_remains_before_it_was_locked_is_made_again(tmp_path, monkeypatch):
    """Another process looks for remains between the making of a folder and its lock."""
    flock, stolen = fcntl.flock, []

    def late(descriptor, operation):
        if not stolen:
            stolen.extend(tmp_path.glob(".export-*"))
            stolen[0].rmdir()
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with written_aside(tmp_path) as aside:
        assert aside.is_dir() and aside not in stolen and len(stolen) == 1


def test_models_config_lists_the_networks_that_have_versions(run):
    (run / "unfinished" / ".export-1").mkdir(parents=True)
    (run / "plots" / "3").mkdir(parents=True)
    path = write_models_config(run, root="/srv/run/")
    assert networks_of(path) == {"tiny": "/srv/run/tiny"}
    assert sorted(child.name for child in run.iterdir()) == ["models.config", "plots", "tiny", "unfinished"]
    with pytest.raises(ValueError, match="root must be an absolute path"):
        write_models_config(run, root="models")
    with pytest.raises(ValueError, match="run_folder must be a directory"):
        write_models_config(run / "nowhere")


@pytest.mark.parametrize(
    "damage", [Path.unlink, Path.touch, lambda path: path.write_bytes(b"\xff"), lambda path: path.write_text("x {")]
)
def test_a_missing_or_wrong_list_is_written_anew(run, damage):
    path = write_models_config(run)
    right = path.read_text()
    assert repair_models_config(run) is False
    if damage is Path.touch:
        (run / "second" / "4").mkdir(parents=True)
        (run / "second" / "4" / "saved_model.pb").touch()
    else:
        damage(path)
    assert repair_models_config(run) is True
    assert networks_of(path)["tiny"] == "/models/tiny"
    assert (path.read_text() == right) == (damage is not Path.touch)
    assert repair_models_config(run) is False


@pytest.mark.parametrize("root", ["/srv/run", "/"])
def test_a_list_for_another_root_keeps_it(run, root):
    path = write_models_config(run, root=root)
    assert repair_models_config(run) is False
    (run / "second" / "4").mkdir(parents=True)
    (run / "second" / "4" / "saved_model.pb").touch()
    assert repair_models_config(run) is True
    assert networks_of(path) == {name: f"{root.rstrip('/')}/{name}" for name in ("second", "tiny")}


def test_a_run_without_exports_gets_no_list(tmp_path):
    assert repair_models_config(tmp_path) is False and repair_models_config(tmp_path / "nowhere") is False
    assert list(tmp_path.iterdir()) == []
