"""A run put together from its flags: data, networks and method, with all that may refuse them asked."""

from __future__ import annotations

from typing import Any, cast

from absl import logging

from tfdistill.devices import memory, runtime
from tfdistill.devices.workers import Workers
from tfdistill.engine.term_checks import check_terms
from tfdistill.optimizers import Protocol
from tfdistill.runs import callbacks, checkpoints, run_exports
from tfdistill.runs.agreement import require_same_flags
from tfdistill.runs.building import build_distiller
from tfdistill.runs.config import RunConfig
from tfdistill.runs.data import RunData, images_per_step
from tfdistill.runs.feeding import Feeding
from tfdistill.runs.folder import RunFolder
from tfdistill.runs.initial_weights import load_initial_weights
from tfdistill.runs.teacher_views import TeacherViews
from tfdistill.runs.teachers import agreement_in_words, facts_of, like_guessing, load_teachers, require_same_teachers
from tfdistill.runs.timetable import Timetable
from tfdistill.runs.unlabelled import require_same_images


class Prepared:
    """A run that could begin: everything that can refuse is done on construction, and nothing is written.

    Several workers do all of it together.

    Args:
        config: the run.
        folder: where it lives.

    Raises:
        ValueError: anything in the configuration that does not fit, in one line.
    """

    def __init__(self, config: RunConfig, folder: RunFolder) -> None:
        self.config, self.folder = config, folder
        self.protocol: Protocol = config.chosen_protocol()
        self.strategy = runtime.make_strategy(cast(Any, config.strategy), config.replicas)
        self.workers = Workers(self.strategy)
        require_same_flags(self.workers, config)
        runtime.set_precision(config.precision)
        runtime.require_products(config.products)
        if config.deterministic:
            runtime.set_determinism(config.seed)
        self.data = RunData.read(config)
        self.data.require_trainable(self.strategy.num_replicas_in_sync)
        self.feeding = Feeding(self.data, self.workers, self.strategy.num_replicas_in_sync)
        self.timetable = Timetable(
            self.data.steps_per_epoch, config.planned_epochs, stop=config.steps, evaluate_every=config.evaluate_every
        )
        teachers = load_teachers(self.data, self.strategy)
        self.distiller = build_distiller(self.data, self.strategy, teachers)
        self.teachers = facts_of(teachers, config.teacher)
        require_same_teachers(self.workers, self.teachers)
        require_same_images(self.workers, self.data.unlabelled)
        own_share = images_per_step(config) // self.workers.count
        memory.require_for_training(self.distiller.networks, own_share, tuple(self.distiller.helpers.values()))
        folder.check(config, self.distiller.recipe)
        self._start_from_given_weights()
        self.distiller.compile(
            config.optimizers(self.distiller.recipe),
            xla=cast(Any, config.xla),  # the flag's bounds hold it to the choices
            steps_per_execution=config.steps_per_execution,
            teacher_precision=cast(Any, config.teacher_precision),
            teacher_ahead=cast(Any, config.teacher_ahead),
        )
        self.distiller.prepare(steps_per_epoch=self.timetable.steps_per_epoch, epochs=self.timetable.epochs)
        self.views = self._teacher_views()
        # Asked here, where it may still refuse.
        own_batch = self.data.training_batches().element_spec if teachers else {}
        self.taps_ahead = self.distiller.ahead.taps(own_batch) if own_batch and not self.views else {}
        if config.export and self.workers.is_chief:
            run_exports.check_exports(self.distiller.deliverables(), self.data)

    def _teacher_views(self) -> TeacherViews | None:
        if not self.config.teacher_views:
            return None
        if self.workers.count > 1:
            raise ValueError(f"teacher_views: is for one worker, and there are {self.workers.count}; leave it out")
        return TeacherViews(self.data, self.distiller, self.teachers, self.folder.path, self.timetable)

    def _start_from_given_weights(self) -> None:
        """Loads what `--networks` names, unless the run has a checkpoint to go on from."""
        if not self.is_fresh():
            return
        given = self.distiller.given_networks
        for network in given:
            if said := getattr(network, "starts_from", ""):
                print(said, flush=True)
        if any(one.source for one in self.config.specifications):
            for line in load_initial_weights(given, self.config.specifications, self.data.dataset.marks):
                print(line, flush=True)

    def is_fresh(self) -> bool:
        """Whether there is no checkpoint to go on from; of a damaged one `open` says so."""
        return not checkpoints.exist(self.folder.checkpoints)

    def check_terms(self) -> None:
        """Before the first step of a run, unless told not to: every term and model of the method does something.

        It writes nothing, so that the run can begin again under its name with other flags.

        Raises:
            SilentTermError: names the term or the model.
        """
        if self.config.check_terms and self.is_fresh():
            check_terms(self.distiller, self.data.training_batches(), epochs=self.protocol.epochs)

    def score_teachers(self) -> None:
        """Scores them on what each epoch is scored on, and says so; before the first step."""
        if not self.teachers:
            return
        name = self.data.scored_on
        batches, steps = self.feeding.evaluation(name), self.feeding.evaluation_steps(name)
        scores = self.distiller.score_teachers(batches, steps=steps, verbose=0)
        headline = self.distiller.task.headline
        for one in self.teachers:
            if one["name"] in self.distiller.teacher_agreement:
                one["agreement"] = self.distiller.teacher_agreement[one["name"]]
            prefix = f"{one['name']}/"
            one["scores"] = {key.removeprefix(prefix): value for key, value in scores.items() if key.startswith(prefix)}
            if self.workers.is_chief:
                score = self.distiller.task.shown(headline, one["scores"][headline])
                agreeing = agreement_in_words(one, self.config.teacher_precision, self.distiller.task.output)
                print(f"teacher {one['name']}: {name} {headline} {score}{agreeing}", flush=True)
                examples, classes = len(self.data.monitors[name]), len(self.data.class_names)
                if said := like_guessing(
                    one["scores"].get(headline), self.data.task.chance(classes), classes, examples
                ):
                    logging.warning("teacher %s: %s", one["name"], said)

    def scores(self, name: str) -> dict[str, float]:
        """Scores of the networks on the monitor `name`."""
        batches, steps = self.feeding.evaluation(name), self.feeding.evaluation_steps(name)
        scores = self.distiller.evaluate(batches, steps=steps, return_dict=True, verbose=0)
        return callbacks.measured(scores)
