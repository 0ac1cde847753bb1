"""The one description of a run."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_type_hints

from tfdistill.bounds import Bounds, Filled, Number, annotated, check, choose, one_of, shown
from tfdistill.data import AUGMENTATIONS, MAX_PIXELS, NORMALIZATIONS, READINGS, TFDS_PATTERN, source_of
from tfdistill.methods import METHODS
from tfdistill.networks import Specification, architecture_of
from tfdistill.optimizers import PROTOCOLS, OptimizerSettings, Protocol
from tfdistill.optimizers.checks import DECAY_ON, SCHEDULES
from tfdistill.devices.runtime import PRECISIONS, STRATEGIES


def _flag(default: Any, text: str, bounds: Bounds | None = None, *, changes_training: bool = True) -> Any:
    return field(default=default, metadata={"help": text, "bounds": bounds, "changes_training": changes_training})


# Bounds that several flags share. The largest are far beyond what anyone trains with: they keep a slip of the keyboard
# from taking all memory, and numbers within what a float32 holds.
COUNT = Number(0, 1_000_000_000)
AT_LEAST_ONE = Number(1, 1_000_000_000)
MILLION = Number(0, 1_000_000)
SEED = Number(0, 2**63 - 1)
PROBABILITY = Number(0, 1)
SHARE_BELOW_ONE = Number(0, 1, below=True)
ALPHA = Number(0.001, 1_000)
FACTOR = Number(1e-30, 1e30)
MOST_NETWORKS = 64
# Of a run's folder, beside whose name the names of files written aside have to fit into the 255 that file systems take.
LONGEST_NAME = 200


@dataclass(frozen=True)
class RunConfig:
    """Everything that decides a run. One field, one flag; 0, "" and None mean "as the method's protocol says"."""

    method: str = _flag("supervised", "How the networks learn; see --list.")
    networks: tuple[str, ...] = _flag(
        ("resnet20",),
        "Networks, comma-separated; see --list. NAME:imagenet starts from Keras' ImageNet weights (resnet50, 101, 152, "
        "mobilenet_v2), NAME:PATH from a run's folder (NAME:PATH:NETWORK says which network of it), a checkpoint, or a "
        ".keras, .weights.h5, .npz or .safetensors file (for ImageNet ResNets and mobilenet_v2 with torchvision's or "
        "timm's names too). A classifier for other classes starts anew.",
    )
    dataset: str = _flag("digits", f"Data set; see --list. {TFDS_PATTERN} is any of TensorFlow Datasets.")
    data_dir: str = _flag(
        "", "Where the data lies: a TFDS folder, or the root of an image folder.", changes_training=False
    )
    download: bool = _flag(True, "Let TFDS download a data set that is not there.", changes_training=False)
    image_size: int = _flag(0, "Height and width that images of many sizes are brought to.", Number(0, 16_384))
    reading: str = _flag(
        "auto",
        "How they are: resize (whole, squeezed), crop (random crops in training, the centre in evaluation), "
        "resize_crop (whole, squeezed to size x 256/224; a random part of that in training, the centre in evaluation), "
        "or auto: crop above 64 pixels, else resize.",
        one_of(READINGS),
    )
    max_pixels: int = _flag(
        MAX_PIXELS,
        "Images of more pixels (height times width) are left out, unseen, and counted in a warning; 0: no limit.",
        COUNT,
    )
    normalization: str = _flag(
        "", f"Mean and standard deviation: {', '.join(NORMALIZATIONS)}; the data set's if empty."
    )
    train_examples: int = _flag(0, "Train on so many examples, balanced over classes; 0: all.", COUNT)
    validation_share: float = _flag(
        0.0, "Share of the training data held out, and scored each epoch instead of the test data.", SHARE_BELOW_ONE
    )
    augmentation: tuple[str, ...] = _flag(
        ("standard",),
        f"What training images go through, comma-separated, of {', '.join(AUGMENTATIONS)}; see --list. Resume is exact "
        "with all of them.",
        one_of(AUGMENTATIONS),
    )
    randaugment_operations: int = _flag(2, "Operations of RandAugment per image.", Number(1, 14))
    randaugment_magnitude: int = _flag(9, "Strength of RandAugment's operations.", Number(0, 10))
    cutout_size: int = _flag(
        0, "Side of cut-out's square in pixels; 0: half of the image's shorter side.", Number(0, 16_384)
    )
    cutmix_alpha: float = _flag(1.0, "Shares of cut-mix are drawn from Beta(alpha, alpha).", ALPHA)
    mixup_alpha: float = _flag(
        1.0, "Shares of mixup are drawn from Beta(alpha, alpha); its paper: 1 for CIFAR, 0.2 for ImageNet.", ALPHA
    )
    mixing_probability: float = _flag(1.0, "How likely cut-mix or mixup mixes an image at all.", PROBABILITY)
    label_smoothing: float = _flag(
        0.0, "Probability taken from the label in training, shared equally among the other classes.", SHARE_BELOW_ONE
    )
    label_noise: float = _flag(
        0.0,
        "Share of the training labels replaced by wrong ones, fixed before training. What --validation_share holds out "
        "stays clean, as the test data does.",
        SHARE_BELOW_ONE,
    )
    label_noise_seed: int | None = _flag(None, "Decides which labels become what; --seed if not given.", SEED)
    protocol: str = _flag(
        "", f"Optimizer, schedule, epochs, batch size: {', '.join(PROTOCOLS)}; the method's if empty."
    )
    epochs: int = _flag(0, "Epochs; milestones of the protocol keep their share of the run.", MILLION)
    steps: int = _flag(
        0,
        "Stop after so many steps, whatever the epochs; schedules do not change.",
        Number(0, 1_000_000_000_000),
        changes_training=False,
    )
    batch_size: int = _flag(0, "Global batch size, over all replicas.", MILLION)
    learning_rate: float | None = _flag(None, "Initial learning rate of the networks' optimizers.", FACTOR)
    momentum: float | None = _flag(None, "Momentum of the networks' optimizers.", SHARE_BELOW_ONE)
    nesterov: bool | None = _flag(None, "Nesterov's momentum for the networks' optimizers.")
    weight_decay: float | None = _flag(None, "Coupled weight decay of the networks' optimizers.", MILLION)
    decay_on: str | None = _flag(None, "What decays: all, or matrices (more than one dimension).", one_of(DECAY_ON))
    schedule: str | None = _flag(None, "Learning rate over time: step, cosine or constant.", one_of(SCHEDULES))
    milestones: tuple[float, ...] | None = _flag(
        None, "Epochs (from 0) at which a step schedule drops, comma-separated.", Number(0, 1_000_000, above=True)
    )
    factor: float | None = _flag(None, "What a step schedule multiplies the rate by.", FACTOR)
    warmup_epochs: float | None = _flag(None, "Epochs of linear warm-up.", MILLION)
    clip_norm: float | None = _flag(
        None,
        "Largest norm of an update's gradient: all its variables together, summed over the replicas, before decay; "
        "0: no limit.",
        Number(0, 1e30),
    )
    seed: int = _flag(1, "Of weights, helpers, order of examples and augmentation.", SEED)
    check_terms: bool = _flag(
        True,
        "Before the first step of a run, refuse a method of which a term or a model would silently do nothing.",
        changes_training=False,
    )
    precision: str = _flag("float32", "float32 or mixed_bfloat16.", one_of(PRECISIONS))
    strategy: str = _flag(
        "auto",
        "auto (every GPU, of every host that TF_CONFIG names), one, mirrored, or multi_worker.",
        one_of(STRATEGIES),
        changes_training=False,
    )
    replicas: int = _flag(0, "With --strategy=mirrored, how many replicas.", Number(0, 64), changes_training=False)
    xla: str = _flag("auto", "auto (GPU only), on or off.", one_of(("auto", "on", "off")))
    deterministic: bool = _flag(
        False,
        "Have TensorFlow use deterministic algorithms only, so that a run on the same GPUs repeats to the last bit; "
        "costs speed there. On one machine's CPU runs repeat without it.",
    )
    steps_per_execution: int = _flag(
        1, "Training steps per call from Python.", Number(1, 100_000), changes_training=False
    )
    evaluate_every: int = _flag(
        1, "Score the networks every so many epochs, and at the end.", AT_LEAST_ONE, changes_training=False
    )
    log_every: int = _flag(
        100, "Steps between two points of training in TensorBoard.", AT_LEAST_ONE, changes_training=False
    )
    run: str = _flag(
        "", "Name of the run; made from method, networks, data set and seed if empty.", changes_training=False
    )
    runs_dir: str = _flag(
        "runs", "Folder of all runs: logs, checkpoints, results.", Filled("a folder"), changes_training=False
    )
    export_dir: str = _flag("saved_models", "Folder of all exports.", Filled("a folder"), changes_training=False)
    export: bool = _flag(True, "Export every network at the end.", changes_training=False)
    export_bad_images: str = _flag(
        "fail",
        "What an export does with image files that it cannot read: fail (the batch, naming the image) or mark (the "
        "others are answered; the output `valid` says which).",
        one_of(("fail", "mark")),
        changes_training=False,
    )
    checkpoint_seconds: float = _flag(
        60.0, "Time between checkpoints; one is written at the end in any case.", COUNT, changes_training=False
    )
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kinds = field_types()
        for one in dataclasses.fields(self):
            if one.name != "hyperparameters":
                check(one.name, getattr(self, one.name), kinds[one.name], one.metadata["bounds"])
        choose("method", self.method, METHODS)
        source_of(self.dataset)
        if self.normalization:
            choose("normalization", self.normalization, NORMALIZATIONS)
        if self.protocol:
            choose("protocol", self.protocol, PROTOCOLS)
        _check_augmentation(self)
        if not self.networks:
            raise ValueError("networks: at least one is needed, such as --networks=resnet20")
        if len(self.networks) > MOST_NETWORKS:
            raise ValueError(f"networks: must be {MOST_NETWORKS} at most, not {len(self.networks)}")
        for name in self.networks:
            _require_network(name)
        if not re.fullmatch(r"(\w[\w.+-]*)?", self.run):
            raise ValueError(
                f"run: must be a name of letters, digits and . _ + -, none of . + - first, not {shown(self.run)}"
            )
        known = hyperparameters(self.method)
        for name, value in self.hyperparameters.items():
            told = choose(f"{self.method} hyper-parameter", name, known)
            if told.bounds or told.kind is bool:
                check(f"{self.method}.{name}", value, told.hint, told.bounds)
        self.chosen_protocol()
        if len(self.run_name.encode()) > LONGEST_NAME:
            raise ValueError(
                f"run: must be a name of {LONGEST_NAME} bytes at most, not {shown(self.run_name)}; give a shorter --run"
            )

    def optimizers(self, recipe: Callable[..., Mapping[str, OptimizerSettings]]) -> dict[str, OptimizerSettings]:
        """Settings per group of updates: the flags' for the networks, for helpers what the method makes of them.

        A method's own milestones are epochs of the run's protocol, whichever that is; where `epochs` stretches the
        protocol, it stretches them too. `clip_norm` is for every group.

        Args:
            recipe: `Distiller.recipe` of the method.
        """
        chosen = self.chosen_protocol()
        stretch = chosen.epochs / PROTOCOLS[self.protocol or METHODS[self.method].protocol].epochs
        groups = {**recipe(chosen.settings, stretch=stretch), "networks": chosen.settings}
        if self.clip_norm is None:
            return groups
        return {group: dataclasses.replace(one, clip_norm=self.clip_norm) for group, one in groups.items()}

    @property
    def run_name(self) -> str:
        """`run`, or a name of method, hyper-parameters that are not the defaults, networks, data set and seed."""
        known = hyperparameters(self.method)
        said = {name: _plain(value) for name, value in sorted(self.hyperparameters.items())}
        method = [
            self.method,
            *(f"{name}{value}" for name, value in said.items() if value != _plain(known[name].default)),
        ]
        networks = "+".join(one.label for one in self.specifications)
        return self.run or re.sub(r"[^\w.+-]+", "-", f"{'-'.join(method)}-{networks}-{self.dataset}-seed{self.seed}")

    @property
    def specifications(self) -> tuple[Specification, ...]:
        """The networks, each taken apart into name and source."""
        return tuple(Specification.parse(text) for text in self.networks)

    def chosen_protocol(self) -> Protocol:
        """The protocol with everything that the flags say otherwise.

        Raises:
            ValueError: a value that the optimizer cannot have.
        """
        protocol = PROTOCOLS[self.protocol or METHODS[self.method].protocol]
        if self.epochs:
            protocol = protocol.scaled(self.epochs)
        names = [one.name for one in dataclasses.fields(OptimizerSettings)]
        said = {name: getattr(self, name) for name in names if getattr(self, name, None) is not None}
        if said.get("schedule", "step") != "step":
            said.setdefault("milestones", ())
        settings = dataclasses.replace(protocol.settings, **said)
        return dataclasses.replace(protocol, settings=settings, batch_size=self.batch_size or protocol.batch_size)

    def to_dict(self) -> dict[str, Any]:
        """Every field as JSON has it; hyper-parameters with the defaults filled in."""
        known = {name: one.default for name, one in hyperparameters(self.method).items()}
        return {
            **dataclasses.asdict(self),
            "run": self.run_name,
            "hyperparameters": {**known, **self.hyperparameters},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunConfig:
        """The inverse of `to_dict`."""
        tuples: dict[str, Any] = {name: _hashable(value) for name, value in values.items()}
        tuples["hyperparameters"] = {name: _hashable(value) for name, value in values["hyperparameters"].items()}
        return cls(**tuples)


@functools.cache
def field_types() -> dict[str, Any]:
    """The types of the fields of `RunConfig`, by name."""
    return get_type_hints(RunConfig)


# Which augmentation a flag belongs to.
AUGMENTATION_FLAGS = {
    "randaugment_operations": ("randaugment",),
    "randaugment_magnitude": ("randaugment",),
    "cutout_size": ("cutout",),
    "cutmix_alpha": ("cutmix",),
    "mixup_alpha": ("mixup",),
    "mixing_probability": ("cutmix", "mixup"),
}


def _check_augmentation(config: RunConfig) -> None:
    chosen = config.augmentation
    if not chosen or len(set(chosen)) < len(chosen) or ("none" in chosen and len(chosen) > 1):
        raise ValueError(f"augmentation: {','.join(chosen)!r} must be different names, or none alone")
    for name, owners in AUGMENTATION_FLAGS.items():
        value = getattr(config, name)
        if value != RunConfig.__dataclass_fields__[name].default and not set(owners) & set(chosen):
            raise ValueError(
                f"{name}: is for --augmentation={' or '.join(owners)}, not {','.join(chosen)}; leave it out"
            )


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Names of the flags that differ between two `RunConfig.to_dict()` and would change the training."""
    fields = [one for one in dataclasses.fields(RunConfig) if one.metadata.get("changes_training")]
    # A run from before a flag was there was trained as its default says.
    found = [one.name for one in fields if _plain(old.get(one.name, one.default)) != _plain(new.get(one.name))]
    before, after = old["hyperparameters"], new["hyperparameters"]
    method = new["method"]
    changed = [name for name in after if _plain(before.get(name, after[name])) != _plain(after[name])]
    return found + [f"{method}.{name}" for name in changed]


def _require_network(text: str) -> None:
    try:
        architecture_of(Specification.parse(text))
    except ValueError as error:
        raise ValueError(f"networks: {error}") from None


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


@dataclass(frozen=True)
class Hyperparameter:
    """One argument of a method's constructor: its default, type and bounds, and what its docstring says of it."""

    default: Any
    kind: type
    text: str
    hint: Any
    bounds: Bounds | None


NOT_HYPERPARAMETERS = ("networks", "task", "seed")


def hyperparameters(method: str) -> dict[str, Hyperparameter]:
    """The hyper-parameters of a method, read from its constructor and its docstring, where they are stated once."""
    return dict(_hyperparameters_of(METHODS[method]))


@functools.cache
def _hyperparameters_of(method: Any) -> dict[str, Hyperparameter]:
    texts = _argument_texts(inspect.getdoc(method) or "")
    bounded = annotated(method.__init__)
    found = {}
    for parameter in inspect.signature(method).parameters.values():
        if parameter.name not in NOT_HYPERPARAMETERS:
            kind = type(parameter.default)
            hint, bounds = bounded.get(parameter.name, (kind, None))
            found[parameter.name] = Hyperparameter(parameter.default, kind, texts[parameter.name], hint, bounds)
    return found


def _argument_texts(docstring: str) -> dict[str, str]:
    section = re.search(r"^Args:\n(.*?)(?=^\S|\Z)", docstring, re.MULTILINE | re.DOTALL)
    if section is None:
        return {}
    entries = re.findall(r"^    (\w+): (.*?)(?=^    \w|\Z)", section.group(1), re.MULTILINE | re.DOTALL)
    return {name: " ".join(text.split()) for name, text in entries}
