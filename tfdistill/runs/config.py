"""The one description of a run."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

from tfdistill.bounds import check, choose, require_one_of, shown
from tfdistill.data import DATASETS, NORMALIZATIONS, require_split, source_of
from tfdistill.declared import declared
from tfdistill.devices.names import TEACHER_PRECISIONS
from tfdistill.methods import METHODS
from tfdistill.networks import is_detector
from tfdistill.networks.specification import Specification, is_file, require_network, specified
from tfdistill.optimizers import PROTOCOLS, OptimizerSettings, Protocol
from tfdistill.runs.box_flags import require_flags_for_boxes
from tfdistill.runs.fields import DataFlags, DeviceFlags, NetworkFlags, RunFlags, TrainingFlags
from tfdistill.runs.hyperparameters import (
    Hyperparameter,
    flag_of,
    hyperparameters,
    may_take_teachers,
    protocol_of,
    trains_in_turn,
)
from tfdistill.runs.link_texts import transfer_names
from tfdistill.runs.streams import stream_seed
from tfdistill.runs.teacher_texts import CAFFE, OWN, SAME, for_each, members, require_taps
from tfdistill.tasks import TASKS
from tfdistill.transfers import TRANSFERS

MOST_NETWORKS = 64
# Of a run's folder, beside whose name the names of files written aside have to fit into the 255 that file systems take.
LONGEST_NAME = 200


@dataclass(frozen=True)
class RunConfig(DeviceFlags, TrainingFlags, DataFlags, NetworkFlags, RunFlags):  # the last one's fields come first
    """Everything that decides a run. One field, one flag; 0, "" and None mean "as the method's protocol says".

    Attributes:
        hyperparameters: those of the method by name, and as "TRANSFER.name" those of a transfer that is added to it.
    """

    hyperparameters: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kinds = field_types()
        for one in dataclasses.fields(self):
            if one.name != "hyperparameters":
                check(one.name, getattr(self, one.name), kinds[one.name], one.metadata["bounds"])
        require_one_of("method", self.method, METHODS)
        _check_task(self)
        if self.normalization:
            choose("normalization", self.normalization, NORMALIZATIONS)
        if self.protocol:
            choose("protocol", self.protocol, PROTOCOLS)
        _check_split(self)
        _check_augmentation(self)
        require_flags_for_boxes(self)
        _check_unlabelled(self)
        if self.label_noise_seed is not None and not self.label_noise:
            raise ValueError("label_noise_seed: is for --label_noise; leave it out")
        if not self.networks:
            raise ValueError("networks: at least one is needed, such as --networks=resnet20")
        if len(self.networks) > MOST_NETWORKS:
            raise ValueError(f"networks: must be {MOST_NETWORKS} at most, not {len(self.networks)}")
        if not re.fullmatch(r"(\w[\w.+-]*)?", self.run):
            raise ValueError(
                f"run: must be a name of letters, digits and . _ + -, none of . + - first, not {shown(self.run)}"
            )
        if len(set(self.also)) < len(self.also):
            raise ValueError(f"also: {','.join(self.also)!r} has a transfer twice")
        _check_links(self)
        _check_teacher(self)
        known = self.known_hyperparameters()
        for name, value in self.hyperparameters.items():
            told = choose(f"{self.method} hyper-parameter", name, known)
            if told.bounds or told.kind is bool:
                check(flag_of(self.method, name), value, told.hint, told.bounds)
        _check_kept(self)
        if self.products != "float32" and self.precision != "float32":
            raise ValueError(f"products: is for --precision=float32, not {self.precision}; leave it out")
        if len(self.run_name.encode()) > LONGEST_NAME:
            raise ValueError(
                f"run: must be a name of {LONGEST_NAME} bytes at most, not {shown(self.run_name)}; give a shorter --run"
            )

    @property
    def transfers(self) -> tuple[str, ...]:
        """The names of the transfers that `also` or the links name."""
        return self.also or transfer_names(self.links)

    def known_hyperparameters(self) -> dict[str, Hyperparameter]:
        """Those of the method and of the transfers."""
        return hyperparameters(self.method, self.transfers)

    @property
    def planned_epochs(self) -> int:
        """Length of the run: the protocol's epochs, for each network that is trained in its turn."""
        return self.chosen_protocol().epochs * (len(self.networks) if trains_in_turn(self.method) else 1)

    def optimizers(self, recipe: Callable[..., Mapping[str, OptimizerSettings]]) -> dict[str, OptimizerSettings]:
        """Settings per group of updates: the flags' for the networks, for helpers what the method makes of them.

        A method's own milestones are epochs of the run's protocol, whichever that is; where `epochs` stretches the
        protocol, it stretches them too. Milestones and warm-up that no flag says are meant for a training of the run's
        epochs: where a preparation takes some of them, they keep their shares of the rest. `clip_norm` is for every
        group.

        Args:
            recipe: `Distiller.recipe` of the method.
        """
        chosen = self.chosen_protocol()
        stretch = chosen.epochs / PROTOCOLS[self.protocol or protocol_of(self.method)].epochs
        own = dataclasses.replace(chosen.settings, span=chosen.epochs)
        said = self.milestones is not None or self.warmup_epochs is not None
        groups = {**recipe(own, stretch=stretch), "networks": own}
        for group, one in groups.items():
            # A span shows what is made of the networks' settings, whose epochs may be those of flags.
            as_said = (said and one.span) or not (one.milestones or one.warmup_epochs)
            span = 0.0 if as_said else chosen.epochs
            clip_norm = one.clip_norm if self.clip_norm is None else self.clip_norm
            groups[group] = dataclasses.replace(one, span=span, clip_norm=clip_norm)
        return groups

    @property
    def run_name(self) -> str:
        """`run`, or a name of method, hyper-parameters that are not the defaults, networks, teachers, data and seed."""
        known = self.known_hyperparameters()
        said = {name: _plain(value) for name, value in sorted(self.hyperparameters.items())}
        method = [
            "+".join((self.method, *self.also)),
            *self.links,
            *(f"{name}{value}" for name, value in said.items() if value != _plain(known[name].default)),
        ]
        networks = "+".join(one.label for one in self.specifications)
        if self.teacher:
            networks += f"-from-{'+'.join(Path(text).name.removesuffix('.keras') for text in self.teacher)}"
        return self.run or re.sub(r"[^\w.+-]+", "-", f"{'-'.join(method)}-{networks}-{self.dataset}-seed{self.seed}")

    @property
    def specifications(self) -> tuple[Specification, ...]:
        """The networks, each with its architecture, a name of its own, its source and its seed."""
        return specified(
            self.networks, [stream_seed(self.seed, "networks", index) for index in range(len(self.networks))]
        )

    @property
    def learned_task(self) -> str:
        """The name of the task, a key of `TASKS`: the data set's."""
        return source_of(self.dataset).task

    @property
    def takes_unlabelled(self) -> bool:
        """Whether images without labels join the batches."""
        return bool(self.unlabelled_dir or self.unlabelled_rest)

    def chosen_protocol(self) -> Protocol:
        """The protocol with everything that the flags say otherwise.

        Raises:
            ValueError: a value that the optimizer cannot have.
        """
        protocol = PROTOCOLS[self.protocol or protocol_of(self.method)]
        if self.epochs:
            protocol = protocol.scaled(self.epochs)
        names = [one.name for one in dataclasses.fields(OptimizerSettings)]
        said = {name: getattr(self, name) for name in names if getattr(self, name, None) is not None}
        if said.get("schedule", "step") != "step":
            said.setdefault("milestones", ())
        settings = protocol.settings.of_kind(self.optimizer) if self.optimizer else protocol.settings
        for name in ("momentum", "nesterov"):
            if name in said and settings.kind != "sgd":
                raise ValueError(f"{name}: is for --optimizer=sgd, not {settings.kind}; leave it out")
        settings = dataclasses.replace(settings, **said)
        if "factor" in said and settings.schedule != "step":
            raise ValueError(f"factor: is for --schedule=step, not {settings.schedule}; leave it out")
        return dataclasses.replace(protocol, settings=settings, batch_size=self.batch_size or protocol.batch_size)

    def to_dict(self) -> dict[str, Any]:
        """Every field as JSON has it; hyper-parameters with the defaults filled in."""
        known = {name: one.default for name, one in self.known_hyperparameters().items()}
        return {
            **dataclasses.asdict(self),
            "run": self.run_name,
            "hyperparameters": {**known, **self.hyperparameters},
        }

    def arguments(self, transfer: str = "") -> dict[str, Any]:
        """What the constructor of the method, or of a transfer that is added to it, is told."""
        begins = f"{transfer}." if transfer else ""
        told = {
            name.removeprefix(begins): value for name, value in self.hyperparameters.items() if name.startswith(begins)
        }
        return {name: value for name, value in told.items() if "." not in name}

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


# What --networks has to name.
LEARNERS = {"classification": "a classifier, such as resnet20", "detection": "a detector, such as ssd96_resnet8"}


def _check_task(config: RunConfig) -> None:
    own = config.learned_task
    if config.task:
        choose("task", config.task, TASKS)
        if config.task != own:
            those = " ".join(name for name, source in DATASETS.items() if source.task == config.task)
            raise ValueError(f"task: {config.dataset} is for {own}; data sets for {config.task}: {those}")
    for text in config.networks:
        _require_network(text)
        written = Specification.parse(text).written
        learns = "detection" if not is_file(written) and is_detector(written) else "classification"
        if learns != own:
            raise ValueError(
                f"networks: {written} is for {learns}, and {config.dataset} for {own}; give {LEARNERS[own]}"
            )


def _check_links(config: RunConfig) -> None:
    if config.links and not trains_in_turn(config.method):
        raise ValueError(f"links: is for --chain, which is --method=chain, not for {config.method}; leave it out")
    if config.links and config.also:
        raise ValueError("links: says of each link what --also says of all; leave one of them out")
    transfer_names(config.links)


def _check_teacher(config: RunConfig) -> None:
    if config.teacher and not config.also and not may_take_teachers(config.method):
        those = ", ".join(f"--method={name}" for name in METHODS if may_take_teachers(name))
        raise ValueError(f"teacher: method {config.method} has no use for one; {those} has, and any method with --also")
    sources = [members(text) for text in config.teacher]
    for flag in ("teacher_normalization", "teacher_classes"):
        if getattr(config, flag) and not config.teacher:
            raise ValueError(f"{flag}: is for --teacher; leave it out")
    if config.teacher_precision != TEACHER_PRECISIONS[0] and not config.teacher:
        raise ValueError("teacher_precision: is for --teacher; leave it out")
    if config.teacher_ahead == "on" and not config.teacher:
        raise ValueError("teacher_ahead: is for --teacher; leave it out")
    for names in for_each("teacher_normalization", config.teacher_normalization, sources, OWN):
        for name in names:
            require_one_of("teacher_normalization", name, (OWN, *NORMALIZATIONS, CAFFE))
    for_each("teacher_classes", config.teacher_classes, sources, SAME)
    _check_teacher_views(config)
    networks = [Specification.parse(text).written for text in config.networks]
    require_taps(config.taps, [*networks, *(one for joined in sources for one in joined)])


def _check_teacher_views(config: RunConfig) -> None:
    if not config.teacher_views:
        return
    if not config.teacher:
        raise ValueError("teacher_views: is for --teacher; leave it out")
    if config.teacher_ahead == "on":
        raise ValueError("teacher_ahead: with --teacher_views no teacher is asked in training; leave one of both out")
    for name in config.transfers:
        if declared(TRANSFERS, name).attributes["calls_source"]:
            raise ValueError(
                f"teacher_views: {name} calls the teacher on every batch, and kept answers cannot stand in for it; "
                "leave one of both out"
            )
    if mixed := [name for name in ("cutmix", "mixup") if name in config.augmentation]:
        raise ValueError(
            f"teacher_views: {' and '.join(mixed)} of --augmentation makes images of two, which do not come again; "
            "leave one of both flags out"
        )
    if config.balance == "sampling":
        raise ValueError(
            "teacher_views: --balance=sampling draws some images several times an epoch, each time the same view; give "
            "--balance=loss, or leave one of both flags out"
        )
    if config.augmentation == ("none",) and config.teacher_views > 1:
        raise ValueError("teacher_views: must be 1 with --augmentation=none, where an image is always the same")


def _check_kept(config: RunConfig) -> None:
    epochs = config.chosen_protocol().epochs
    for epoch in config.keep_epochs:
        if epoch > epochs:
            raise ValueError(f"keep_epochs: {epoch} is beyond the last epoch of the run, {epochs}")


def _check_split(config: RunConfig) -> None:
    require_split(config.dataset, config.split or ())
    if config.split_seed is not None and not config.split:
        raise ValueError("split_seed: is for --split; leave it out")
    held_out = config.validation_share or len(config.split or ()) == 3
    if config.export_epoch == "best" and not held_out:
        raise ValueError(
            "export_epoch: best is judged on validation data, and none is held out; give --validation_share=0.1, or "
            "three shares with --split"
        )
    if config.split and len(config.split) == 3 and config.validation_share:
        raise ValueError("validation_share: --split has a validation part already; leave one of them out")


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


def _check_unlabelled(config: RunConfig) -> None:
    if config.unlabelled_batch_size and not config.takes_unlabelled:
        raise ValueError("unlabelled_batch_size: is for --unlabelled_dir or --unlabelled_rest; leave it out")
    if config.unlabelled_dir and config.unlabelled_rest:
        raise ValueError("unlabelled_rest: give this or --unlabelled_dir, not both")
    if config.takes_unlabelled and config.teacher_views:
        raise ValueError(
            "teacher_views: keeps answers about labelled images alone; leave it out with --unlabelled_dir and "
            "--unlabelled_rest"
        )
    if config.unlabelled_rest and not config.train_examples:
        raise ValueError("unlabelled_rest: is for --train_examples, whose rest it takes; give that, or leave it out")
    if config.takes_unlabelled and config.method == "supervised" and not config.also:
        flag = "unlabelled_dir" if config.unlabelled_dir else "unlabelled_rest"
        raise ValueError(
            f"{flag}: method supervised learns from labels alone; give --method=distillation and a --teacher, or "
            "networks that teach each other, as with --method=dml"
        )


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Names of the flags that differ between two `RunConfig.to_dict()` and would change the training."""
    fields = [one for one in dataclasses.fields(RunConfig) if one.metadata.get("changes_training")]
    # A run from before a flag was there was trained as its default says.
    found = [one.name for one in fields if _plain(old.get(one.name, one.default)) != _plain(new.get(one.name))]
    before, after = old["hyperparameters"], new["hyperparameters"]
    method = new["method"]
    changed = [name for name in after if _plain(before.get(name, after[name])) != _plain(after[name])]
    return found + [flag_of(method, name) for name in changed]


def _require_network(text: str) -> None:
    try:
        require_network(text)
    except ValueError as error:
        raise ValueError(f"networks: {error}") from None


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
