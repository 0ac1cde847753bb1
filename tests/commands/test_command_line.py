"""Flags made from `RunConfig` and the methods' constructors, flagfiles, and what a user reads who mistyped."""

import dataclasses
import inspect
import io
import os
import sys

import pytest

from tfdistill.commands import command_line
from tfdistill.data import AUGMENTATIONS, DATASETS, TFDS_PATTERN
from tfdistill.methods import METHODS
from tfdistill.networks import APPLICATIONS, DETECTORS, NETWORKS
from tfdistill.runs.config import RunConfig
from tfdistill.runs.hyperparameters import NOT_HYPERPARAMETERS
from tfdistill.standalone import process
from tfdistill.transfers import TRANSFERS


def config_of(*arguments: str) -> RunConfig:
    values = command_line.run_flags()
    command_line.parse(values, arguments)
    return command_line.run_config(values)


def refusal(*arguments: str) -> str:
    with pytest.raises(ValueError) as caught:
        config_of(*arguments)
    message = str(caught.value)
    assert message and "\n" not in message
    return message


def test_what_is_added_is_given_once_but_may_override_a_flagfile(tmp_path):
    said = "is given 2 times, and the last alone would count; give kd,map_distance once"
    assert refusal("--also=kd", "--also", "map_distance") == f"also: {said}"
    (tmp_path / "pair.flags").write_text("--also=kd\n--epochs=3\n")
    given = config_of(f"--flagfile={tmp_path}/pair.flags", "--also=map_distance", "--epochs=5", "--epochs=6")
    assert given.also == ("map_distance",) and given.epochs == 6


def test_no_flags_give_the_defaults():
    assert config_of() == RunConfig()


def test_every_field_has_a_flag_and_the_flag_reaches_the_config():
    given = RunConfig(
        method="dml",
        also=("kd",),
        teacher=("big.keras", "runs/bigger"),
        teacher_normalization=("raw", "own"),
        teacher_classes=("same", "by_name"),
        teacher_precision="bfloat16",
        teacher_ahead="on",
        taps=("features:conv", "big.stage1:block1"),
        trust_code=True,
        networks=("resnet8", "resnet14"),
        dataset="image_folder",
        data_dir="somewhere",
        task="classification",
        download=False,
        image_size=32,
        reading="crop",
        augmentation=("standard", "randaugment", "cutout", "cutmix", "mixup"),
        randaugment_operations=3,
        randaugment_magnitude=5,
        cutout_size=8,
        cutmix_alpha=0.5,
        mixup_alpha=0.2,
        mixing_probability=0.75,
        label_smoothing=0.1,
        label_noise=0.2,
        label_noise_seed=4,
        normalization="c10wrn",
        train_examples=100,
        unlabelled_dir="unlabelled",
        unlabelled_batch_size=7,
        split=(0.75, 0.25),
        split_seed=4,
        balance="loss",
        validation_share=0.25,
        protocol="ie_cifar",
        optimizer="sgd",
        epochs=3,
        steps=7,
        batch_size=50,
        learning_rate=0.5,
        momentum=0.0,
        nesterov=False,
        weight_decay=0.0,
        decay_on="matrices",
        schedule="step",
        milestones=(1.0, 2.5),
        factor=0.3,
        warmup_epochs=0.0,
        clip_norm=1.0,
        deterministic=True,
        seed=0,
        check_terms=False,
        precision="mixed_bfloat16",
        strategy="mirrored",
        replicas=2,
        xla="off",
        steps_per_execution=4,
        evaluate_every=2,
        log_every=9,
        run="mine",
        runs_dir="there",
        export_dir="here",
        export=False,
        export_epoch="best",
        keep_epochs=(1, 3),
        max_pixels=1000,
        export_bad_images="mark",
        checkpoint_seconds=1.5,
        hyperparameters={"temperature": 3.0},
    )
    defaults = RunConfig()
    same = [
        one.name for one in dataclasses.fields(RunConfig) if getattr(given, one.name) == getattr(defaults, one.name)
    ]
    # A view of an image comes again, which none does that is mixed with others.
    same.remove("teacher_views")
    assert config_of("--method=distillation", "--teacher=big.keras", "--teacher_views=3").teacher_views == 3
    same.remove("links")  # they go with another method, and with no --also
    same.remove("unlabelled_rest")  # it goes with no --unlabelled_dir
    assert config_of(
        "--method=dml", "--networks=resnet8,resnet8", "--train_examples=9", "--unlabelled_rest"
    ).unlabelled_rest
    same.remove("products")  # they go with no mixed precision
    assert config_of("--products=bfloat16").products == "bfloat16"
    assert not same, f"the test must set {same} to other values than the defaults"
    arguments = ["--dml.temperature=3"]
    for name, value in dataclasses.asdict(given).items():
        if name != "hyperparameters":
            text = ",".join(map(str, value)) if isinstance(value, tuple) else value
            arguments.append(f"--{name}={text}")
    assert config_of(*arguments) == given


def test_chain_is_short_for_its_method_wherever_it_stands():
    flags = ("--networks=resnet8,resnet8", "--links=kd:temperature=3+mse", "--kd.weight=2", "--chain.label_weight=0")
    given = config_of("--chain", *flags)
    assert given == config_of(*flags, "--chain") == config_of("--method=chain", *flags)
    assert (given.method, given.links) == ("chain", ("kd:temperature=3+mse",))
    assert given.hyperparameters == {"kd.weight": 2.0, "label_weight": (0.0,)}
    assert config_of("--nochain").method == "supervised"
    two = "--networks=resnet8,resnet14"
    assert config_of("--chain", "--method=kd", "--distillation.label_weight=0.1", two) == config_of(
        "--chain", "--also=kd", "--chain.label_weight=0.1", two
    )


@pytest.mark.parametrize("method", METHODS)
def test_hyperparameters_are_read_from_the_constructor(method):
    values = command_line.run_flags()
    parameters = inspect.signature(METHODS[method]).parameters
    expected = {name: one.default for name, one in parameters.items() if name not in NOT_HYPERPARAMETERS}
    prefix = f"{method}."
    found = {name.removeprefix(prefix): values[name].default for name in values if name.startswith(prefix)}
    assert found == {name: list(one) if isinstance(one, tuple) else one for name, one in expected.items()}


def test_a_hyperparameter_is_parsed_by_its_type_and_only_given_ones_are_kept():
    config = config_of("--method=ie_dml", "--ie_dml.inheritance_weight=7", "--noie_dml.leading_activation")
    assert config.hyperparameters == {"inheritance_weight": 7.0, "leading_activation": False}
    assert isinstance(config.hyperparameters["inheritance_weight"], float)


def test_a_hyperparameter_of_another_method_is_refused():
    message = refusal("--method=supervised", "--dml.temperature=3")
    assert "dml.temperature" in message and "supervised" in message


def test_transfers_are_added_by_name_with_flags_of_their_own():
    config = config_of("--method=dml", "--also=kd", "--kd.temperature=2", "--dml.weight=0.5")
    assert config.also == ("kd",)
    assert config.hyperparameters == {"weight": 0.5, "kd.temperature": 2.0}
    assert config.arguments() == {"weight": 0.5} and config.arguments("kd") == {"temperature": 2.0}
    assert config.run_name.startswith("dml+kd-kd.temperature2.0-weight0.5-")


def test_a_transfers_name_as_the_method_is_distillation_by_it():
    teacher = "--teacher=runs/big"
    config = config_of("--method=kd", "--also=mse", "--mse.weight=0.1", "--distillation.label_weight=0", teacher)
    assert (config.method, config.also) == ("distillation", ("kd", "mse"))
    assert config == config_of(
        "--method=distillation", "--also=kd,mse", "--mse.weight=0.1", "--distillation.label_weight=0", teacher
    )
    alone = config_of("--method=virtual_teacher")
    assert (alone.method, alone.also) == ("supervised", ("virtual_teacher",)), "it has no teacher"
    assert refusal("--method=kd", "--also=mse,kd") == "also: kd is what --method says already; leave it out"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--kd.weight=2"], "kd.weight: belongs to --also=kd, which is not given; add it, or leave this out"),
        (["--also=kdd"], f"also: 'kdd' is none of {', '.join(TRANSFERS)}; nearest: kd"),
        (["--also=kd,kd"], "also: 'kd,kd' has a transfer twice"),
        (["--also=kd", "--kd.temperature=0"], "kd.temperature: must be a number in 0.001..1,000, not 0"),
    ],
)
def test_a_transfers_flags_are_refused_by_name(arguments, message):
    assert refusal("--method=dml", *arguments) == message


def test_two_sets_of_flags_know_nothing_of_each_other():
    first, second = command_line.run_flags(), command_line.run_flags()
    command_line.parse(first, ["--epochs=5"])
    command_line.parse(second, [])
    assert (first.epochs, second.epochs) == (5, 0)


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("--bach_size=3", ["bach_size: is no flag; nearest: batch_size"]),
        ("--noexprt", ["noexprt: is no flag; nearest: noexport"]),
        ("--metric=l2", ["metric: is no flag; nearest: "]),
        ("--epochs", ["epochs: has no value; write --epochs=VALUE"]),
        ("--dml.temprature=3", ["dml.temprature", "dml.temperature"]),
        ("--epochs=many", ["epochs: must be a whole number in 0..1,000,000, not many"]),
        ("--epochs=", ["epochs: must be a whole number in 0..1,000,000, not ''"]),
        ("--epochs=1e20", ["epochs: must be a whole number in 0..1,000,000, not 1e20"]),
        ("--epochs=1_0", ["epochs: must be a whole number in 0..1,000,000, not 1_0"]),
        ("--epochs=１２", ["epochs: must be", "not １２; write it in the digits 0 to 9"]),
        ("--epochs=" + "9" * 5000, ["epochs: must be", "(5000 characters)"]),
        ("--learning_rate=high", ["learning_rate: must be a number in 1e-30..1e+30, not high"]),
        ("--export=perhaps", ["export: must be true or false, not perhaps"]),
        ("--milestones=1,b", ["milestones: must be a number in 0..1,000,000 (0 excluded), not b"]),
        ("--milestones=80,,120", ["milestones: must be", "not ''"]),
        ("--milestones=inf", ["milestones: must be", "not inf"]),
        ('--networks="a', ["networks: ", "no comma-separated list"]),
        ("--dml.temperature=nan", ["dml.temperature: must be a number in 0.001..1,000, not nan"]),
        ("--ie_dml.metric=l3", ["ie_dml.metric: 'l3' is none of l1, l2,", "nearest: l"]),
        ("--runs_dir=", ["runs_dir: must be a folder, not ''"]),
        ("--data_dir=caf\udce9", ["data_dir: must be text in UTF-8", "café"]),
        ("--run=a\0b", ["run: ", "control character"]),
        ("resnet20", ["resnet20", "--"]),
        ("--method=supervisd", ["method", "supervisd", "nearest: supervised"]),
        ("--networks=resnt20", ["networks", "resnt20", "resnet20"]),
        ("--dataset=digit", ["dataset", "nearest: digits"]),
    ],
)
def test_bad_input_is_named_in_one_line(argument, words):
    message = refusal(argument)
    assert all(word in message for word in words), message


def test_a_flag_without_its_method_in_front_is_known():
    assert refusal("--method=ie_dml", "--metric=l2").endswith("metric: is no flag; nearest: ie_dml.metric")
    assert refusal("--also=kd", "--temperature=2").endswith("nearest: kd.temperature")


def test_flagfiles_nest_beside_each_other_and_later_flags_win(tmp_path):
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "common.flags").write_text("--epochs=5\n--batch_size=10\n")
    outer = tmp_path / "outer.flags"
    outer.write_text("# a comment --epochs=99\n\n  // another\n--flagfile=base/common.flags\n --batch_size=20 \n")
    config = config_of("--seed=3", f"--flagfile={outer}", "--run=mine")
    assert (config.epochs, config.batch_size, config.seed, config.run) == (5, 20, 3, "mine")


def test_a_flag_after_a_flagfile_wins_over_it_and_one_before_it_does_not(tmp_path):
    path = tmp_path / "one.flags"
    path.write_text("--epochs=5\n")
    assert config_of(f"--flagfile={path}", "--epochs=7").epochs == 7
    assert config_of("--epochs=7", "--flagfile", str(path)).epochs == 5


def test_a_flagfile_is_also_looked_for_in_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "a.flags").write_text("--flagfile=b.flags\n")
    (tmp_path / "b.flags").write_text("--epochs=8\n")
    monkeypatch.chdir(tmp_path)
    assert config_of("--flagfile=inner/a.flags").epochs == 8
    (tmp_path / "inner" / "b.flags").write_text("--epochs=9\n")
    assert config_of("--flagfile=inner/a.flags").epochs == 9


def test_a_flagfile_may_come_twice_but_not_include_itself(tmp_path):
    plain, first, second = (tmp_path / f"{name}.flags" for name in ("plain", "first", "second"))
    plain.write_text("--epochs=2\n")
    assert config_of(f"--flagfile={plain}", f"--flagfile={plain}").epochs == 2
    first.write_text("--flagfile=second.flags\n")
    second.write_text("--flagfile=first.flags\n")
    message = refusal(f"--flagfile={first}")
    assert "flagfile" in message and "first.flags" in message


def test_a_working_directory_in_latin_1_is_refused_before_anything_is_written_into_it(tmp_path, monkeypatch):
    folder = os.path.join(os.fsencode(tmp_path), b"caf\xe9")
    os.mkdir(folder)
    monkeypatch.chdir(os.fsdecode(folder))
    assert "a name that is not in UTF-8" in refusal("--epochs=3")


def test_commands_print_what_the_terminals_encoding_lacks_as_numbers(monkeypatch):
    streams = [io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict") for _ in range(2)]
    monkeypatch.setattr(sys, "stdout", streams[0])
    monkeypatch.setattr(sys, "stderr", streams[1])
    process.print_in_any_encoding()
    for stream in streams:
        print("8×8", file=stream, flush=True)
        assert stream.buffer.getvalue().decode("ascii").endswith("8\\xd78\n")


def test_a_flagfile_that_is_none_is_named(tmp_path):
    (tmp_path / "folder").mkdir()
    assert refusal(f"--flagfile={tmp_path / 'folder'}").endswith("folder is a folder; give a file of flags")
    (tmp_path / "binary").write_bytes(b"\xff\xfe--epochs=3")
    assert refusal(f"--flagfile={tmp_path / 'binary'}").endswith("binary is no text in UTF-8")
    (tmp_path / "long").write_bytes(b"#" * 1_000_001)
    assert "more than 1,000,000 bytes" in refusal(f"--flagfile={tmp_path / 'long'}")
    assert refusal(f"--flagfile={'n' * 5000}").startswith("flagfile: there is no file 'nnn")


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("epoch = 3", "epoch: is no flag; nearest: epochs"),
        ("epochs = true", "epochs: must be a whole number in"),
        ("nesterov = 3", "nesterov: must be true or false, not 3"),
        ('flagfile = "bse.flags"', "flagfile: there is no file 'bse.flags'"),
        ('data_dir = "a\\u0007b"', "data_dir: 'a\\x07b' has a control character"),
    ],
)
def test_a_flag_that_is_wrong_in_a_table_or_a_flagfile_is_told_with_the_file_and_row(flag, said, tmp_path):
    (tmp_path / "base.flags").write_text("--batch_size=x\n")
    table = tmp_path / "made.toml"
    table.write_text(
        f'[rows.good]\nflags.epochs = 2\n[rows.bad]\nflags = {{ {flag} }}\n[rows.base]\nflags.flagfile="base.flags"'
    )
    assert refusal("--seed=2", f"--flagfile={table}:bad", "--epochs=5").startswith(f"{table}: row bad: {said}")
    assert config_of(f"--flagfile={table}:good").epochs == 2
    assert refusal(f"--flagfile={table}:good", "--batch_size=x").startswith("batch_size: ")  # the command line's own
    assert refusal(f"--flagfile={table}:base").startswith(f"{tmp_path / 'base.flags'}: batch_size: ")


def test_flagfiles_that_include_without_end_are_named(tmp_path):
    for depth in range(30):
        (tmp_path / f"{depth}.flags").write_text(f"--flagfile={depth + 1}.flags\n" * 2)
    (tmp_path / "30.flags").write_text("--epochs=3\n")
    assert "20 at most" in refusal(f"--flagfile={tmp_path / '0.flags'}")
    assert "more than 1000 files" in refusal(f"--flagfile={tmp_path / '12.flags'}")
    assert config_of(f"--flagfile={tmp_path / '25.flags'}").epochs == 3


def test_a_flagfile_of_another_editor_is_read(tmp_path):
    (tmp_path / "windows.flags").write_bytes("\ufeff--epochs=3\r\n--batch_size=7\r\n".encode())
    config = config_of(f"--flagfile={tmp_path / 'windows.flags'}")
    assert (config.epochs, config.batch_size) == (3, 7)


@pytest.mark.parametrize("arguments", [("--flagfile=absent.flags",), ("--flagfile",), ("--flagfile=",)])
def test_a_missing_flagfile_is_named(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = refusal(*arguments)
    assert message.startswith("flagfile:") and ("absent.flags" in message or "''" in message)


def test_listing_has_a_line_for_every_entry():
    lines = [line.split() for line in command_line.listing().splitlines() if line.startswith("  ")]
    names = [words[0] for words in lines]
    families = [family.pattern for family in NETWORKS.values()]
    detectors = [family.pattern for family in DETECTORS.values()]
    assert names == [
        *METHODS,
        *TRANSFERS,
        *families,
        *APPLICATIONS,
        *detectors,
        *DATASETS,
        TFDS_PATTERN,
        *AUGMENTATIONS,
    ]
    assert all(len(words) > 2 for words in lines)


def test_one_line_errors_ends_with_a_line_and_status_2(capsys):
    with pytest.raises(SystemExit) as ended, command_line.one_line_errors("some.py"):
        raise ValueError("epochs: too many")
    assert ended.value.code == 2
    assert capsys.readouterr().err == "some.py: error: epochs: too many\n"


def test_a_name_that_cannot_be_encoded_is_shown(capsys):
    with pytest.raises(SystemExit), command_line.one_line_errors("some.py"):
        "caf\udce9".encode()
    assert capsys.readouterr().err == "some.py: error: 'caf\\udce9' is no text in UTF-8; rename what is called so\n"


def test_one_line_errors_lets_defects_through():
    with pytest.raises(ValueError, match="first"), command_line.one_line_errors("some.py"):
        raise ValueError("first line\nsecond line")
    with pytest.raises(KeyError), command_line.one_line_errors("some.py"):
        raise KeyError("x")
