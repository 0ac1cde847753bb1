"""What stands for a teacher, read: a run's folder, a network by name with its weights, a .keras file, a SavedModel."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import keras
from absl import logging

from tfdistill.bounds import choose
from tfdistill.data import NORMALIZATIONS, Normalization
from tfdistill.export.folders import is_saved_model, versions
from tfdistill.networks import reads_as_keras
from tfdistill.networks.backbones import assign_detector_or_backbone
from tfdistill.networks.keras_applications import APPLICATIONS, imagenet_weights
from tfdistill.networks.keras_files import network_of_file
from tfdistill.networks.saved_models import network_of_saved_model
from tfdistill.networks.specification import IMAGENET, Specification, is_file
from tfdistill.networks.weights import assign_weights
from tfdistill.runs.building import build_network
from tfdistill.runs.data import RunData
from tfdistill.runs.folder import RunFolder, read_config
from tfdistill.runs.identity import seen_by
from tfdistill.runs.initial_weights import check_architecture, path_and_network, weights_from
from tfdistill.runs.kept_epochs import AT, FLAGS, path_and_epoch, require_kept
from tfdistill.runs.teacher_texts import is_network
from tfdistill.runs.trained import Trained, load_trained
from tfdistill.standalone.calling import words

KINDS = "the folder of a run, NETWORK:SOURCE, a .keras file or a SavedModel"


class Images(Protocol):
    """The data that a teacher is going to see: a run's, or a data set."""

    @property
    def name(self) -> str: ...
    @property
    def image_shape(self) -> tuple[int, int, int]: ...
    @property
    def class_names(self) -> tuple[str, ...]: ...
    @property
    def normalization(self) -> Normalization: ...


@dataclass(frozen=True)
class Found:
    """A teacher as it was trained.

    Attributes:
        model: a network that nothing was put before or behind yet.
        normalization: of the images that it was trained on, where that is recorded.
        class_names: of its logits, where they are.
        usual: the normalization that goes without saying where none is recorded; none is that of the run.
        told: what there is to tell of it, a line each.
    """

    model: keras.Model
    normalization: Normalization | None = None
    class_names: Sequence[str] = ()
    usual: Normalization | None = None
    told: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Reader:
    """How sources are read.

    Attributes:
        images: the data that the teacher is going to see, where it is known.
        taps: by which layers taps are found in files, by the tap's name.
        trust_code: whether code in files may run.
        like: data that was read already, which serves where a run's own is the same.
    """

    images: Images | None = None
    taps: Mapping[str, str] = field(default_factory=dict)
    trust_code: bool = False
    like: RunData | None = None

    def read(self, text: str) -> Found:
        """The teacher that a source is.

        Raises:
            ValueError: it is not there (the line has the command that trains it), or is no teacher.
        """
        if not text:
            raise ValueError("a source is empty; write them as A,B for two teachers, as A+B for one of two sources")
        self._refuse_own_folder(text)
        path, network, epoch = run_named(text)
        if path.exists():
            return self._at(path, network, epoch)
        written, _, source = text.partition(":")
        if source and is_network(written):
            return self._named(Specification.parse(text))
        if is_network(text) and not is_file(text):
            raise ValueError(f"{text} is a network without weights; give them, as in {text}:runs/NAME")
        wanted = source if source and is_network(source) else ""
        raise ValueError(f"there is no file or run {text}{self._remedy(text, wanted)}")

    def read_all(self, text: str) -> list[Found]:
        """As `read`; of a run whose network is not named, all its networks.

        Raises:
            ValueError: as `read`.
        """
        path, network, epoch = run_named(text)
        if network or not (path / FLAGS).is_file():
            return [self.read(text)]
        trained = self._trained(path, epoch)
        return [_found_in(trained, one, path) for one in trained.networks]

    def _refuse_own_folder(self, text: str) -> None:
        """Refuses the run that is going to learn as its own teacher."""
        if not isinstance(self.images, RunData):
            return
        own = Path(self.images.config.runs_dir, self.images.config.run_name).absolute()
        source = text.partition(":")[2]
        named = (text, text.rpartition(":")[0], source, source.rpartition(":")[0])
        if own in [path_and_epoch(one)[0].absolute() for one in named if one]:
            raise ValueError(
                f"{text} is the run that is to learn; name another run as its teacher, or give another --run"
            )

    def _at(self, path: Path, network: str, epoch: int | None) -> Found:
        if (path / FLAGS).is_file():
            return self._run(path, network, epoch)
        if epoch is not None:
            require_kept(path, epoch)
        if path.is_dir() and (version := newest_version(path)):
            return saved_model(version, path)
        if is_file(str(path)) and path.is_file():
            model, told = network_of_file(path, taps=self.taps, trust_code=self.trust_code)
            return Found(model, told=told)
        if path.is_dir():
            raise ValueError(f"{path} is no run folder (it has no {FLAGS}) and no SavedModel")
        raise ValueError(f"{path} is no .keras file; a teacher is {KINDS}")

    def _run(self, path: Path, network: str, epoch: int | None, architecture: str = "") -> Found:
        """A network of a run as its newest checkpoint or an epoch has it."""
        trained = self._trained(path, epoch)
        models = {one.name: one for one in trained.networks}
        if not network and len(models) > 1:
            written = path if epoch is None else f"{path}{AT}{epoch}"
            raise ValueError(
                f"{path} has {len(models)} networks, {', '.join(models)}; say which: {written}:{next(iter(models))}"
            )
        if isinstance(self.images, RunData) and (said := seen_by(str(path), trained.parts, self.images.dataset.marks)):
            logging.warning("teacher: %s", said)
        model = choose(f"network of {path}", network, models) if network else next(iter(models.values()))
        if architecture:
            check_architecture(path, model.name, architecture)
        return _found_in(trained, model, path)

    def _trained(self, path: Path, epoch: int | None) -> Trained:
        """A run, or an epoch that it has kept; this process's precision stays as it was."""
        like = self.like or (self.images if isinstance(self.images, RunData) else None)
        policy = keras.config.dtype_policy()
        try:
            return load_trained(RunFolder(path), like=like, kept=epoch)
        finally:
            keras.config.set_dtype_policy(policy)

    def _named(self, specification: Specification) -> Found:
        """A network by its name, with the weights of its source."""
        if specification.source == IMAGENET:
            return self._imagenet(specification)
        path, network, epoch = run_named(specification.source)
        if not path.exists():
            remedy = self._remedy(specification.source, specification.written)
            raise ValueError(f"there is no file or run {path}{remedy}")
        if (path / FLAGS).is_file():
            names = [one.name for one in read_config(path).specifications]
            own = specification.written if specification.written in names else ""
            return self._run(path, network or own, epoch, specification.architecture)
        run = next((one for one in path.parents[:2] if (one / FLAGS).is_file()), None) if path.is_dir() else None
        images = RunData.read(read_config(run)) if run else self._require_images(specification.text)
        if specification.is_file:
            model, _ = network_of_file(specification.written, taps=self.taps, trust_code=self.trust_code)
        else:
            model = build_network(specification, images)
        source, arrays = weights_from(model, specification)
        if assign_detector_or_backbone(model, arrays, source=source):
            raise ValueError(f"{source} has no classifier for the {len(images.class_names)} classes of {images.name}")
        if run:
            return Found(model, images.normalization, images.class_names)
        # A network of Keras' own brings the run's images to what it was trained on by itself.
        brought = reads_as_keras(specification.architecture)
        return Found(model, images.normalization if brought else None)

    def _imagenet(self, specification: Specification) -> Found:
        """One of Keras' networks at the size that Keras trained it at."""
        images = self._require_images(specification.text)
        if specification.architecture not in APPLICATIONS:
            raise ValueError(
                f"Keras trained its backbone alone; train it on {images.name} first: --networks={specification.text}"
            )
        size = APPLICATIONS[specification.architecture].trained_size
        model = build_network(specification, images, size=(size, size))
        arrays = imagenet_weights(specification.architecture, classes=len(images.class_names))
        if assign_weights(model, arrays, source="Keras' ImageNet weights"):
            raise ValueError(
                f"Keras trained it for ImageNet's 1000 classes, and {images.name} has {len(images.class_names)}; train "
                f"it on them first: --networks={specification.text}"
            )
        return Found(model, images.normalization)

    def _require_images(self, text: str) -> Images:
        if self.images is None:
            raise ValueError(f"{text} is built for the images and classes of its data; give data")
        return self.images

    def _remedy(self, text: str, network: str = "") -> str:
        """The command that would train what is missing, where it would be a run."""
        path, epoch = path_and_epoch(text.partition(":")[0])
        if path.suffix or not isinstance(self.images, RunData):
            return ""
        config = self.images.config
        said: dict[str, Any] = {
            "run": path.name,
            "runs_dir": "" if str(path.parent) == "runs" else str(path.parent),
            "networks": network or next(filter(is_network, path.name.split("-")), "NETWORK"),
            "dataset": config.dataset,
            **{name: getattr(config, name) for name in ("data_dir", "image_size", "normalization")},
            "keep_epochs": epoch,
        }
        flags = [f"--{name}={value}" for name, value in said.items() if value]
        return f"; this trains one: {shlex.join([*words('train'), *flags])}"


def _found_in(trained: Trained, model: keras.Model, path: Path) -> Found:
    ended = RunFolder(path).results.exists()
    told = [] if ended else [f"is not trained to its end; its weights are those of step {trained.step}"]
    return Found(model, trained.data.normalization, trained.data.class_names, told=told)


def run_named(text: str) -> tuple[Path, str, int | None]:
    """PATH, PATH@EPOCH or either with :NETWORK: the path, the network or "", and the epoch that a run has kept."""
    named, network = path_and_network(text)
    path, epoch = path_and_epoch(named)
    return path, network, epoch


def saved_model(version: Path, path: Path) -> Found:
    """The teacher in a SavedModel, which reads pixels of 0..255 unless its user knows better.

    Args:
        version: the folder with `saved_model.pb`.
        path: as it was given, by which it is called.
    """
    own = version.parent.name if version.name.isdigit() else version.name
    model = network_of_saved_model(version, name=own or path.name)
    card = version / "model_card.json"
    raw = NORMALIZATIONS["raw"]
    if not card.is_file():
        return Found(model, usual=raw)
    try:
        names = json.loads(card.read_text("utf-8")).get("class_names", ())
    except (OSError, ValueError, AttributeError) as error:
        raise ValueError(f"{card} is damaged: {' '.join(str(error).split())}") from error
    return Found(model, raw, names)


def newest_version(path: Path) -> Path | None:
    """The folder of a SavedModel at `path`: itself, or the highest of its versions."""
    if is_saved_model(path):
        return path
    return next((one for one in reversed(versions(path).values()) if is_saved_model(one)), None)
