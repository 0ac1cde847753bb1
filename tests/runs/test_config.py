"""What a `RunConfig` refuses, the protocol that it makes, and when two of them train alike."""

import dataclasses
import inspect
import json
import math
from typing import get_type_hints

import pytest

from tfdistill import bounds
from tfdistill.methods import METHODS
from tfdistill.optimizers import PROTOCOLS, OptimizerSettings
from tfdistill.runs.config import RunConfig, differences
from tfdistill.runs.hyperparameters import hyperparameters, hyperparameters_of_transfer
from tfdistill.transfers import TRANSFERS


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        *(("augmentation", ("standard", name), f"{name} ") for name in ("randaugment", "cutout", "cutmix", "mixup")),
        ("balance", "loss", "is for one class per image, and digit_scenes has boxes; leave it out"),
        ("balance", "sampling", "is for one class per image"),
        ("label_smoothing", 0.1, "is for one class per image"),
        ("label_noise", 0.1, "is for one class per image"),
        ("split", (0.8, 0.2), "is for --dataset=image_folder; digit_scenes has its own parts"),
    ],
)
def test_flags_of_one_class_per_image_do_not_go_with_boxes(field, value, said):
    RunConfig(dataset="digits" if field != "split" else "image_folder", **{field: value})
    with pytest.raises(ValueError) as error:
        RunConfig(dataset="digit_scenes", networks=("ssd96_resnet8",), **{field: value})
    assert str(error.value).startswith(f"{field}: {said}") and "\n" not in str(error.value)
    RunConfig(dataset="digit_scenes", networks=("ssd96_resnet8",), augmentation=("none",))


@pytest.mark.parametrize(
    ("field", "value", "hint"),
    [
        ("method", "supervisd", "nearest: supervised"),
        ("dataset", "cifar", "nearest: cifar10"),
        ("protocol", "ie_cifr", "nearest: ie_cifar"),
        ("normalization", "imagnet", "nearest: imagenet"),
        ("precision", "bfloat16", "nearest: mixed_bfloat16"),
        ("strategy", "mirror", "nearest: mirrored"),
        ("xla", "yes", "auto, on, off"),
        ("networks", (), "resnet20"),
        ("networks", ("resnet8", "resnt20"), "'resnet20'"),
        ("epochs", -1, "-1"),
        ("steps", -1, "-1"),
        ("batch_size", -1, "-1"),
        ("train_examples", -1, "-1"),
        ("image_size", -1, "-1"),
        ("replicas", -1, "-1"),
        ("checkpoint_seconds", -0.5, "-0.5"),
        ("checkpoint_seconds", math.nan, "nan"),
        ("steps_per_execution", 0, "a whole number in 1..100,000"),
        ("evaluate_every", 0, "in 1..1,000,000,000, not 0"),
        ("validation_share", 1.0, "0..1"),
        ("validation_share", -0.1, "0..1"),
        ("validation_share", math.nan, "0..1"),
        ("augmentation", ("standard", "cutmx"), "nearest: cutmix"),
        ("augmentation", (), "none alone"),
        ("augmentation", ("none", "cutmix"), "none alone"),
        ("augmentation", ("cutmix", "cutmix"), "different names"),
        ("randaugment_operations", 0, "1..14"),
        ("randaugment_magnitude", 11, "0..10"),
        ("cutout_size", -1, "0..16,384"),
        ("cutmix_alpha", 0.0, "0.001..1,000"),
        ("mixup_alpha", math.nan, "0.001..1,000"),
        ("mixing_probability", 1.5, "0..1"),
        ("mixup_alpha", 0.2, "is for --augmentation=mixup, not standard"),
        ("mixing_probability", 0.5, "is for --augmentation=cutmix or mixup"),
        ("label_smoothing", 1.0, "0..1"),
        ("label_noise", 1.0, "must be a number in 0..1 (1 excluded), not 1.0"),
        ("label_noise", 1.1, "0..1"),
        ("epochs", 10**400, "a whole number in 0..1,000,000, not 1000"),
        ("epochs", 3.0, "a whole number in 0..1,000,000, not 3.0"),
        ("epochs", "3", "a whole number in 0..1,000,000, not 3"),
        ("epochs", True, "not True"),
        ("batch_size", 10**7, "0..1,000,000"),
        ("image_size", 10**6, "0..16,384"),
        ("replicas", 1_000_000, "0..64, not 1000000"),
        ("learning_rate", math.inf, "in 1e-30..1e+30, not inf"),
        ("learning_rate", 0.0, "in 1e-30..1e+30, not 0.0"),
        ("learning_rate", 1e-45, "in 1e-30..1e+30, not 1e-45"),
        ("momentum", 1.0, "(1 excluded)"),
        ("milestones", (3.0, math.inf), "0..1,000,000 (0 excluded), not inf"),
        ("milestones", 3.0, "a list, not 3.0"),
        ("schedule", "stepp", "nearest: step"),
        ("decay_on", "matrix", "nearest: matrices"),
        ("nesterov", "yes", "true or false, not yes"),
        ("runs_dir", "", "a folder, not ''"),
        ("export_dir", " ", "a folder, not ' '"),
        ("data_dir", 3, "text, not 3"),
        ("networks", ("resnet8", 3), "text, not 3"),
        ("networks", ("resnet8",) * 65, "64 at most, not 65"),
        ("run", "a" * 201, "200 bytes at most"),
        ("label_noise", math.nan, "0..1"),
        ("label_noise_seed", -1, "2^63"),
        ("seed", -1, "2^63"),
        ("seed", 2**63, "2^63"),
        ("run", "a/b", "first, not a/b"),
        ("run", "..", "first, not .."),
        ("run", "a b", "first, not a b"),
    ],
)
def test_a_field_out_of_range_is_named_in_one_line(field, value, hint):
    with pytest.raises(ValueError) as caught:
        RunConfig(**{field: value})
    message = str(caught.value)
    assert message.startswith(f"{field}:") and hint in message and "\n" not in message


def test_a_name_made_of_many_networks_has_to_be_given():
    with pytest.raises(
        ValueError, match=r"^run: must be a name of 200 bytes at most, not supervised-.*; give a shorter"
    ):
        RunConfig(networks=("wide_resnet_28_10",) * 12)


def test_every_number_has_bounds():
    """And every choice its names, so that a message can say what would be right."""
    kinds = get_type_hints(RunConfig)
    for one in dataclasses.fields(RunConfig):
        kind, _ = bounds.without_none(kinds[one.name])
        if kind in (int, float, tuple[float, ...]):
            assert isinstance(one.metadata["bounds"], bounds.Number), one.name
    for method in METHODS:
        for name, one in hyperparameters(method).items():
            if one.kind in (int, float, tuple):
                assert isinstance(one.bounds, bounds.Number), (method, name)
            elif one.kind is str and name not in ("tap", "heads"):
                assert isinstance(one.bounds, bounds.Choice), (method, name)
            bounds.check(name, one.default, one.hint, one.bounds)


@pytest.mark.parametrize("transfer", TRANSFERS)
def test_a_transfers_numbers_have_bounds_and_are_refused_out_of_them_by_config_and_constructor(transfer):
    told = hyperparameters_of_transfer(transfer)
    for name, one in ((name, one) for name, one in told.items() if one.kind is not bool):
        wrong = {bounds.Choice: ("none of them",), bounds.Filled: ("",), bounds.Number: (math.nan, math.inf, -1.0)}
        assert type(one.bounds) in wrong and (one.kind is str) != isinstance(one.bounds, bounds.Number), name
        bounds.check(name, one.default, one.hint, one.bounds)
        for value in wrong[type(one.bounds)]:
            with pytest.raises(ValueError, match=rf"^{transfer}\.{name}: "):
                RunConfig(method="dml", also=(transfer,), hyperparameters={f"{transfer}.{name}": value})
            with pytest.raises(ValueError, match=rf"^{name}: "):
                TRANSFERS[transfer](**{name: value})


@pytest.mark.parametrize("method", METHODS)
def test_a_methods_numbers_are_refused_out_of_bounds_by_config_and_constructor(method, tiny_network):
    peers = [tiny_network(f"bounded{index}", seed=index) for index in range(2)]
    takes_teachers = "teachers" in inspect.signature(METHODS[method]).parameters
    teachers = {"teachers": tiny_network("teacher", seed=9)} if takes_teachers else {}
    for name, one in hyperparameters(method).items():
        if one.kind in (int, float):
            for value in (math.nan, math.inf, -1.0, "3"):
                with pytest.raises(ValueError, match=rf"^{method}\.{name}: must be a .*number in .*, not {value}$"):
                    RunConfig(method=method, hyperparameters={name: value})
                with pytest.raises(ValueError, match=rf"^{name}: must be a .*number in .*, not {value}$"):
                    METHODS[method](peers, **teachers, **{name: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("validation_share", 0.999),
        ("seed", 2**63 - 1),
        ("checkpoint_seconds", 0.0),
        ("run", "IE-DML_1.b+c"),
        ("steps_per_execution", 1),
    ],
)
def test_the_ends_of_the_ranges_are_allowed(field, value):
    assert getattr(RunConfig(**{field: value}), field) == value


def test_parameters_of_an_augmentation_come_with_it():
    config = RunConfig(augmentation=("standard", "mixup", "cutout"), mixup_alpha=0.2, cutout_size=8)
    assert (config.mixup_alpha, config.cutout_size) == (0.2, 8)


def test_an_unknown_hyperparameter_gets_the_nearest_name():
    with pytest.raises(ValueError, match=r"temprature.*nearest: temperature"):
        RunConfig(method="dml", hyperparameters={"temprature": 3.0})


def test_a_run_is_named_after_what_it_is_unless_it_has_a_name():
    config = RunConfig(method="dml", networks=("resnet8", "resnet14"), seed=7)
    assert config.run_name == "dml-resnet8+resnet14-digits-seed7"
    assert dataclasses.replace(config, run="mine").run_name == "mine"
    changed = RunConfig(method="dml", networks=("resnet8",), hyperparameters={"temperature": 3.0, "weight": 1.0})
    assert changed.run_name == "dml-temperature3.0-resnet8-digits-seed1"


@pytest.mark.parametrize("method", METHODS)
def test_the_methods_protocol_is_the_default(method):
    assert RunConfig(method=method).chosen_protocol() == PROTOCOLS[METHODS[method].protocol]


def test_flags_override_the_protocol_and_zero_counts_as_a_value():
    config = RunConfig(
        protocol="dml_original", learning_rate=0.3, momentum=0.0, nesterov=False, weight_decay=0.0, batch_size=17
    )
    chosen, original = config.chosen_protocol(), PROTOCOLS["dml_original"]
    assert chosen.batch_size == 17 and chosen.epochs == original.epochs
    said = {"learning_rate": 0.3, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0}
    assert chosen.settings == dataclasses.replace(original.settings, **said)


def test_another_optimizer_has_pytorchs_defaults_and_the_protocols_schedule():
    adam, adamw = (
        RunConfig(protocol="dcm_wide_resnet", optimizer=kind).chosen_protocol() for kind in ("adam", "adamw")
    )
    settings = adam.settings
    assert (settings.kind, settings.learning_rate, settings.weight_decay) == ("adam", 0.001, 0.0)
    assert (settings.betas, settings.epsilon) == ((0.9, 0.999), 1e-8)
    assert (settings.milestones, settings.factor, adam.epochs) == ((59, 119, 159), 0.2, 200)
    assert adamw.settings == dataclasses.replace(settings, kind="adamw", weight_decay=0.01)
    told = RunConfig(optimizer="adamw", learning_rate=0.01, weight_decay=0.0, schedule="cosine").chosen_protocol()
    assert (told.settings.learning_rate, told.settings.weight_decay, told.settings.milestones) == (0.01, 0.0, ())
    assert RunConfig(optimizer="sgd").chosen_protocol() == RunConfig().chosen_protocol()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"optimizer": "adam", "momentum": 0.9}, "momentum: is for --optimizer=sgd, not adam; leave it out"),
        ({"schedule": "cosine", "factor": 0.5}, "factor: is for --schedule=step, not cosine; leave it out"),
        ({"label_noise_seed": 3}, "label_noise_seed: is for --label_noise; leave it out"),
        ({"optimizer": "adamw", "nesterov": False}, "nesterov: is for --optimizer=sgd, not adamw; leave it out"),
        ({"optimizer": "adamm"}, "optimizer: 'adamm' is none of sgd, adam, adamw; nearest: adam"),
        ({"split": (0.8, 0.2)}, "split: is for --dataset=image_folder; digits has its own parts, leave it out"),
        ({"split": (0.8, 0.3), "dataset": "image_folder"}, "split: the shares must add up to 1, 0.8,0.3 add up to 1.1"),
        ({"split_seed": 3}, "split_seed: is for --split; leave it out"),
        (
            {"products": "bfloat16", "precision": "mixed_bfloat16"},
            "products: is for --precision=float32, not mixed_bfloat16; leave it out",
        ),
        ({"epochs": 20, "keep_epochs": (10, 30)}, "keep_epochs: 30 is beyond the last epoch of the run, 20"),
        (
            {"split": (0.8, 0.1, 0.1), "dataset": "image_folder", "validation_share": 0.1},
            "validation_share: --split has a validation part already; leave one of them out",
        ),
    ],
)
def test_flags_that_have_no_place_beside_each_other_are_refused(values, message):
    with pytest.raises(ValueError) as caught:
        RunConfig(**values)
    assert str(caught.value).startswith(message)


def test_milestones_keep_their_share_of_a_shorter_run():
    chosen = RunConfig(protocol="ie_cifar", epochs=16).chosen_protocol()
    assert chosen.epochs == 16 and chosen.settings.milestones == (8.0, 12.0)


def test_milestones_of_the_flags_are_epochs_of_the_run_as_it_is():
    chosen = RunConfig(protocol="ie_cifar", epochs=16, milestones=(3.0,), factor=0.5).chosen_protocol()
    assert chosen.settings.milestones == (3.0,) and chosen.settings.factor == 0.5


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_another_schedule_than_step_has_no_milestones(schedule):
    chosen = RunConfig(schedule=schedule).chosen_protocol()
    assert chosen.settings.schedule == schedule and chosen.settings.milestones == ()


def test_a_contradiction_of_schedule_and_milestones_is_refused():
    with pytest.raises(ValueError, match="milestones"):
        RunConfig(schedule="cosine", milestones=(3.0,)).chosen_protocol()


@pytest.mark.parametrize(
    ("field", "value"), [("learning_rate", 0.0), ("momentum", 1.0), ("weight_decay", -1.0), ("clip_norm", -1.0)]
)
def test_a_value_that_no_optimizer_has_is_named(field, value):
    with pytest.raises(ValueError, match=field):
        RunConfig(**{field: value}).chosen_protocol()


def test_gradients_are_clipped_in_every_group_of_updates_or_as_the_recipe_says():
    recipe = {"networks": OptimizerSettings(), "helpers": OptimizerSettings(kind="adam", clip_norm=2.0)}

    def limits(clip_norm):
        chosen = RunConfig(clip_norm=clip_norm).optimizers(lambda networks, stretch: recipe)
        return {group: settings.clip_norm for group, settings in chosen.items()}

    assert limits(0.5) == {"networks": 0.5, "helpers": 0.5}
    assert limits(None) == {"networks": 0.0, "helpers": 2.0}
    assert limits(0.0) == {"networks": 0.0, "helpers": 0.0}


FULL = RunConfig(
    method="ie_dml",
    networks=("resnet8", "resnet14"),
    milestones=(2.0, 3.5),
    nesterov=False,
    hyperparameters={"inheritance_weight": 7.0},
)


def test_a_dict_has_all_hyperparameters_and_comes_back_through_json():
    values = json.loads(json.dumps(FULL.to_dict()))
    defaults = {name: one.default for name, one in hyperparameters("ie_dml").items()}
    assert values["hyperparameters"] == {**defaults, "inheritance_weight": 7.0}
    back = RunConfig.from_dict(values)
    assert back.to_dict() == FULL.to_dict()
    assert back == dataclasses.replace(FULL, run=FULL.run_name, hyperparameters=values["hyperparameters"])


def test_differences_name_what_changes_training():
    old = json.loads(json.dumps(FULL.to_dict()))
    new = dataclasses.replace(
        FULL, batch_size=9, networks=("resnet8",), milestones=(2.0,), hyperparameters={"split": "natural"}
    ).to_dict()
    expected = {"networks", "batch_size", "milestones", "ie_dml.inheritance_weight", "ie_dml.split"}
    assert set(differences(old, new)) == expected


def test_a_run_from_before_a_flag_was_there_has_its_default():
    old = json.loads(json.dumps(FULL.to_dict()))
    del old["augmentation"], old["label_noise"]
    assert differences(old, FULL.to_dict()) == []
    assert differences(old, dataclasses.replace(FULL, augmentation=("none",)).to_dict()) == ["augmentation"]


def test_differences_ignore_what_does_not_change_training():
    other = dataclasses.replace(
        FULL,
        data_dir="elsewhere",
        download=False,
        steps=5,
        strategy="mirrored",
        replicas=2,
        steps_per_execution=3,
        evaluate_every=4,
        log_every=7,
        run="other",
        runs_dir="others",
        export_dir="exports",
        export=False,
        export_bad_images="mark",
        check_terms=False,
        checkpoint_seconds=1.0,
        trust_code=True,
        keep_epochs=(1,),
        unlabelled_dir="more",
        teacher_ahead="auto",
    )
    unmarked = [one.name for one in dataclasses.fields(RunConfig) if one.metadata.get("changes_training") is False]
    unmarked.remove("teacher")  # the method of `FULL` takes none
    assert all(getattr(other, name) != getattr(FULL, name) for name in unmarked)
    assert differences(FULL.to_dict(), other.to_dict()) == []


@pytest.mark.parametrize("name", [one.name for one in dataclasses.fields(RunConfig) if one.name != "hyperparameters"])
def test_every_flag_says_what_it_is_for(name):
    one = RunConfig.__dataclass_fields__[name]
    assert one.metadata["help"].endswith(".") and isinstance(one.metadata["changes_training"], bool)


@pytest.mark.parametrize("method", METHODS)
def test_every_hyperparameter_has_its_text_from_the_docstring(method):
    for name, one in hyperparameters(method).items():
        assert len(one.text) > 5 and "\n" not in one.text, name
        assert one.kind in (bool, int, float, str, tuple) and isinstance(one.default, one.kind), name
