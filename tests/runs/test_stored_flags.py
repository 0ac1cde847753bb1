"""A flags.json that somebody has edited is told in one line with its name and the key."""

import json

import pytest

from tfdistill.runs.config import RunConfig
from tfdistill.runs.folder import RunFolder, read_config
from tfdistill.runs.stored_flags import read_flags, read_run_config

CONFIG = RunConfig(method="dml", networks=("resnet8", "resnet14"), hyperparameters={"temperature": 3.0})


def test_what_was_written_is_read(tmp_path):
    (tmp_path / "flags.json").write_text(json.dumps(CONFIG.to_dict()))
    assert read_run_config(tmp_path / "flags.json").to_dict() == CONFIG.to_dict()


def test_a_run_from_before_a_flag_was_there_has_its_default(tmp_path):
    values = CONFIG.to_dict()
    del values["clip_norm"], values["reading"]
    (tmp_path / "flags.json").write_text(json.dumps(values))
    assert read_run_config(tmp_path / "flags.json").to_dict() == CONFIG.to_dict()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epoch": 3}, "'epoch' is no flag; nearest: epochs"),
        ({"epochs": "three"}, "epochs: must be a whole number in 0..1,000,000, not three"),
        ({"epochs": 2.5}, "epochs: must be a whole number in 0..1,000,000, not 2.5"),
        ({"seed": -1}, "seed: must be a whole number in 0..2^63-1, not -1"),
        ({"learning_rate": [0.1]}, "learning_rate: must be a number in 1e-30..1e+30, not [0.1]"),
        ({"download": "yes"}, "download: must be true or false, not yes"),
        ({"milestones": 3}, "milestones: must be a list, not 3"),
        ({"networks": None}, "networks: must be a list, not None"),
        ({"networks": "resnet8"}, "networks: must be a list, not resnet8"),
        ({"networks": [3]}, "networks: must be text, not 3"),
        ({"networks": ["resnt8"]}, "networks: unknown network 'resnt8'; nearest: 'resnet8'"),
        ({"method": "dlm"}, "method: 'dlm' is none of "),
        ({"method": 3}, "method: must be text, not 3"),
        ({"hyperparameters": 3}, "hyperparameters: must be values by name, not 3"),
        ({"hyperparameters": {"temperature": "hot"}}, "dml.temperature: must be a number in 0.001..1,000, not hot"),
        ({"hyperparameters": {"temprature": 3}}, "dml hyper-parameter: 'temprature' is none of "),
    ],
)
def test_an_edited_key_is_named_with_the_file(tmp_path, change, message):
    path = tmp_path / "flags.json"
    path.write_text(json.dumps({**CONFIG.to_dict(), **change}))
    with pytest.raises(ValueError) as caught:
        read_config(tmp_path)
    assert str(caught.value).startswith(f"{path}: {message}") and "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"method": "dml"}', "\x00", '"text"', "{'method': 'dml'}"])
def test_a_file_that_is_none_any_more_is_named(tmp_path, content):
    path = tmp_path / "flags.json"
    path.write_text(content)
    for read in (read_flags, read_run_config):
        with pytest.raises(ValueError) as caught:
            read(path)
        assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(ValueError, match=r"flags\.json"):
        RunFolder(tmp_path).check(CONFIG)
