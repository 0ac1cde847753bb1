"""The process that distils from a teacher in PyTorch; `teacher.py` starts it as `python -m peer.teacher`."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from workers import WorkerError, one_line, serve

from peer import FORMS, worker

if not worker.MISSING:
    import numpy as np
    import torch
    from torch import nn
    from torch.nn import functional as losses
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    from peer import methods, networks, weights

WARM_UP = 2
MODELS = ("network1", "teacher")


@dataclasses.dataclass(frozen=True)
class TeacherForm:
    """How a teacher can be asked.

    Args:
        precision: "float32"; "autocast", whose weights are float32 and rounded at every call; or "bfloat16", whose
            weights are rounded once.
        folded: whether PyTorch's own fusion has taken the normalizations into the convolutions.
        layout: "channels_last" or "contiguous".
        compiled: by `torch.compile`, with the weights as constants, which Inductor packs beforehand.
    """

    precision: str
    folded: bool
    layout: str = "channels_last"
    compiled: bool = False

    def __str__(self) -> str:
        words = {"compiled": self.compiled, "folded": self.folded, "channels_last": self.layout == "channels_last"}
        return ", ".join([self.precision, *(word for word, holds in words.items() if holds)])


TEACHER_FORMS = (
    TeacherForm("float32", folded=False, layout="contiguous"),
    TeacherForm("float32", folded=False),
    TeacherForm("float32", folded=True, layout="contiguous"),
    TeacherForm("float32", folded=True),
    TeacherForm("float32", folded=True, compiled=True),
)
LOWERED_FORMS = (
    TeacherForm("autocast", folded=False),
    TeacherForm("autocast", folded=True),
    TeacherForm("bfloat16", folded=True),
    TeacherForm("bfloat16", folded=True, compiled=True),
)


class Teacher:
    """A frozen network in one form.

    Args:
        name: of the network.
        classes: of its logits.
        arrays: its weights, as tfdistill has them.
        form: how it is asked.
        images: `[batch, channels, height, width]`, float32.
    """

    def __init__(
        self, name: str, classes: int, arrays: Mapping[str, np.ndarray], form: TeacherForm, images: torch.Tensor
    ) -> None:
        network = networks.build(name, classes)
        weights.load({"teacher": network}, arrays)
        network.eval().requires_grad_(requires_grad=False)
        if form.folded:
            fold(network)
        if form.precision == "bfloat16":
            network.bfloat16()
            network.logits.float()
        layout = torch.channels_last if form.layout == "channels_last" else torch.contiguous_format
        network.to(images.device, memory_format=layout)
        self.images = images.contiguous(memory_format=layout)
        self._form, self._call = form, network
        if form.compiled:
            self._call = torch.compile(network, dynamic=False)

    def ask(self) -> torch.Tensor:
        """Its logits, float32 `[batch, classes]`."""
        images = self.images
        with torch.no_grad(), torch.autocast(images.device.type, torch.bfloat16, self._form.precision == "autocast"):
            if self._form.precision == "bfloat16":
                images = images.bfloat16()
            return self._call(images)["logits"].float()


def fold(network: nn.Module) -> None:
    """Takes each normalization into the convolution before it, `conv1_norm` into `conv1`; in inference mode."""
    for module in list(network.modules()):
        for name, norm in list(module.named_children()):
            conv = getattr(module, name.removesuffix("_norm"), None)
            if isinstance(norm, nn.BatchNorm2d) and isinstance(conv, nn.Conv2d):
                setattr(module, name.removesuffix("_norm"), fuse_conv_bn_eval(conv, norm))
                setattr(module, name, nn.Identity())


class Student(methods.Method):
    """A network that learns from labels and from a teacher's logits."""

    def learn(
        self, images: torch.Tensor, labels: torch.Tensor, taught: torch.Tensor, weighed: Mapping[str, float]
    ) -> torch.Tensor:
        """One step down `label · CE + weight · T² · KL(teacher ‖ student)`; gives the loss, not yet waited for."""
        logits = self.forward(self.networks[0], images)["logits"]
        loss = weighed["label_weight"] * losses.cross_entropy(logits, labels)
        return self.apply(self.optimizer, loss + weighed["weight"] * self.mutual(taught, logits))


class Commands(worker.Commands):
    """What the process can be asked to do."""

    def __init__(self) -> None:
        super().__init__()
        # Weights are constants to what is compiled without gradients.
        torch._inductor.config.freezing = True
        self.student: tuple[Student, torch.Tensor]
        self.teachers: dict[str, Teacher] = {}

    def prepare(self, case: dict[str, Any], folder: str, trial_steps: int) -> dict[str, Any]:
        """Tries student and teacher in every form; keeps the student's fastest, and the teacher's of each precision.

        Args:
            case: names of student and teacher, classes, recipe, temperature and weights.
            folder: has `batch.npz`, tfdistill's weights `before.npz`, and the student's a step later, `after.npz`.
            trial_steps: after two that are not counted.

        Returns:
            By precision of the teacher the forms kept; seconds in each form; what kept some from working; and how far
            the student's first step is from tfdistill's.
        """
        self.case = case
        before, after, batch = (
            dict(np.load(pathlib.Path(folder) / f"{one}.npz")) for one in ("before", "after", "batch")
        )
        self.labels = torch.from_numpy(batch["labels"]).long().to(self.device)
        images = torch.from_numpy(batch["images"].transpose(0, 3, 1, 2).copy()).to(self.device)
        own = {model: {key: one for key, one in before.items() if key.startswith(f"{model}/")} for model in MODELS}
        trials = Trials(trial_steps)
        taught = Teacher(case["teacher"], case["classes"], own["teacher"], TEACHER_FORMS[0], images).ask()
        students = {}
        for form in FORMS:
            students[form] = self.student_of(form, own["network1"], images)
            trials.time(f"student {form}", functools.partial(self.learn, *students[form], taught))
        first = self.student_of(FORMS[0], own["network1"], images)
        self.learn(*first, taught)
        difference = weights.difference(own["network1"], after, weights.save(first[0].models))
        best = trials.fastest([f"student {form}" for form in FORMS])
        self.student = students[best.removeprefix("student ")]
        kept = {}
        for precision, forms in (("float32", TEACHER_FORMS), ("bfloat16", LOWERED_FORMS)):
            made = {f"teacher {form}": form for form in forms}
            for name, form in made.items():
                teacher = Teacher(case["teacher"], case["classes"], own["teacher"], form, images)
                trials.time(name, lambda teacher=teacher: teacher.ask().sum().item())
            kept[precision] = trials.fastest(made)
            self.teachers[precision] = Teacher(
                case["teacher"], case["classes"], own["teacher"], made[kept[precision]], images
            )
            self.teachers[precision].ask()
        forms = {precision: f"{best}; {teacher}" for precision, teacher in kept.items()}
        return {"forms": forms, "seconds": trials.seconds, "failed": trials.failed, "difference": difference}

    def student_of(
        self, form: str, arrays: Mapping[str, np.ndarray], images: torch.Tensor
    ) -> tuple[Student, torch.Tensor]:
        """The student in a form, and its images."""
        student = Student([self.case["student"]], self.case["classes"], self.case["recipe"], self.case["temperature"])
        weights.load(student.models, arrays)
        layout = torch.channels_last if "channels_last" in form else torch.contiguous_format
        student.to(self.device, layout, torch.float32)
        if form.startswith("compiled"):
            student.compile()
        return student, images.contiguous(memory_format=layout)

    def learn(self, student: Student, images: torch.Tensor, taught: torch.Tensor) -> torch.Tensor:
        """One step; gives the loss, not yet waited for."""
        return student.learn(images, self.labels, taught, self.case["weights"])

    def train(self, form: str, steps: int) -> dict[str, Any]:
        """Seconds that so many steps take.

        Args:
            form: the teacher's precision, "float32" or "bfloat16".
            steps: at least one.
        """
        started = time.perf_counter()
        for _ in range(steps):
            loss = self.learn(*self.student, self.teachers[form].ask())
        if not torch.isfinite(loss).item():
            raise WorkerError("the loss is not finite")
        return {"seconds": time.perf_counter() - started}


class Trials:
    """Seconds of each form, and what kept some from working.

    Args:
        steps: that are timed, of which the fastest counts.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.seconds: dict[str, float] = {}
        self.failed: dict[str, str] = {}

    def time(self, name: str, step: Callable[[], Any]) -> None:
        """Times a form. One that is compiled may fail, where there is no compiler."""
        try:
            taken = []
            for _ in range(WARM_UP + self.steps):
                started = time.perf_counter()
                step()
                taken.append(time.perf_counter() - started)
        except Exception as error:
            if "compiled" not in name:
                raise
            self.failed[name] = one_line(error)
        else:
            self.seconds[name] = min(taken[WARM_UP:])

    def fastest(self, names: Iterable[str]) -> str:
        """The fastest of those that work."""
        return min((name for name in names if name in self.seconds), key=self.seconds.__getitem__)


def commands() -> dict[str, Callable[..., dict[str, Any]]]:
    """By name, what can be asked."""
    if worker.MISSING:
        return {"about": worker.missing}
    served = Commands()
    return {name: getattr(served, name) for name in ("about", "prepare", "train")}


if __name__ == "__main__":
    serve(commands())
