"""Runs some hundred bad command lines and counts what they end in; each should end in one line that names the flag.

    python tests/campaigns/bad_commands.py                 all of them
    python tests/campaigns/bad_commands.py --only=flagfile those whose description has the word

The commands' `main(arguments)` is called, many in one process, as the scripts of launch/ call it. The process has a
limit of memory; where it hangs or dies, that is the case's result, and a new one goes on with the next.
`tests/test_bad_commands.py` takes those that are refused before anything is built.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import dataclasses
import importlib
import io
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import traceback
import typing
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
SECONDS, GIBIBYTES = 90, 6
TINY = ("--networks=resnet8", "--batch_size=32", "--steps=1", "--noexport", "--nocheck_terms")
PAIR = ("--networks=resnet8,resnet8", *TINY[1:])
TAUGHT = ("--method=distillation", "--also=kd", *TINY)
LATER = ("tfds:", "folder:nowhere", "resnet9")  # refused when they are looked for, or built
OUTCOMES = ("refused in one line", "traceback", "exit 0", "several lines", "flag not named", "hang", "crash")
BROKEN = ("", "x", "-1", "nan", "inf", "-inf", "1e400", "1e20", "１２", "1_0", "3;4", "0.5.5", "٣")


@dataclasses.dataclass(frozen=True)
class Case:
    """A bad command line.

    Attributes:
        program: "train", "evaluate", "analyze", "export", "preview" or "table".
        arguments: what is given to it.
        names: words, one of which a good message has; empty: any message will do.
        quick: refused from the flags alone.
    """

    program: str
    arguments: tuple[str, ...]
    names: tuple[str, ...]
    quick: bool = False

    def __str__(self) -> str:
        return f"{self.program} {' '.join(one[:90] for one in self.arguments)}"


def cases(scratch: Path) -> list[Case]:
    """All of them; those that need files want the folder of `make_scratch`."""
    found = [*of_flags(), *of_hyperparameters(), *of_combinations(), *of_boxes(), *of_flagfiles()]
    found += [*of_commands(), *of_files(), *of_teachers(), *of_tables()]
    return [
        dataclasses.replace(one, arguments=tuple(text.replace("SCRATCH", str(scratch)) for text in one.arguments))
        for one in dict.fromkeys(found)
    ]


def wrong_values(kind: typing.Any) -> list[str]:
    """Values that no flag of the kind has."""
    others = [one for one in typing.get_args(kind) if one is not type(None)]
    kind = others[0] if len(others) == 1 and typing.get_origin(kind) is not tuple else kind
    if kind is bool:
        return ["perhaps", "2", ""]
    if kind is int:
        return ["", "x", "-1", "1.5", "nan", "1e20", "99999999999999999999", "１２", "1_0"]
    if kind is float:
        return ["", "x", "-1", "nan", "inf", "1e400", "０.5"]
    if kind == tuple[int, ...]:
        return ["x", "1,,2", "inf", "-1", "0", "1.5", "１"]
    if kind in (tuple, tuple[float, ...]):
        return ["x", "1,,2", "inf", "nan,3", "-1", "3,2", "１"]
    return []


def of_flags() -> Iterator[Case]:
    """Every flag of a run with values of the wrong kind, and texts that name nothing."""
    from tfdistill.runs.config import RunConfig

    kinds = typing.get_type_hints(RunConfig)
    owners = {
        "randaugment": "randaugment",
        "cutout": "cutout",
        "cutmix": "cutmix",
        "mixup": "mixup",
        "mixing": "cutmix",
    }
    for one in dataclasses.fields(RunConfig):
        with_it = [f"--augmentation=standard,{name}" for prefix, name in owners.items() if one.name.startswith(prefix)]
        if one.name == "milestones":
            with_it = ["--schedule=step"]
        for value in wrong_values(kinds[one.name]):
            yield Case("train", (*TINY, *with_it, f"--{one.name}={value}"), (one.name,), quick=True)
    for name, values in {
        "method": ("", "dml ", "DML", "supervised,dml", "ｄｍｌ"),
        "networks": ("", "resnet8,,resnet14", "resnt20", "resnet9", "resnet８", "RESNET20", '"resnet8', "resnet8:"),
        "dataset": ("", "digit", "cifar", "tfds:", "folder:nowhere"),
        "protocol": ("x", "ie-cifar"),
        "normalization": ("x", "imagnet"),
        "augmentation": ("", "standard,", "none,cutout", "cutout,cutout", "cut-out"),
        "schedule": ("", "stepp"),
        "optimizer": ("", "adamm", "SGD"),
        "balance": ("", "weights"),
        "export_epoch": ("", "first", "best"),
        "split": ("0.8,0.2", "0.8", "1", "0.5,0.6", "nan,0.5", "0.8,0.1,0.05,0.05"),
        "split_seed": ("1",),
        "decay_on": ("", "biases"),
        "precision": ("", "float16", "mixed_float16"),
        "products": ("", "float16", "mixed_bfloat16"),
        "strategy": ("", "tpu"),
        "xla": ("", "yes"),
        "reading": ("", "squeeze"),
        "run": ("a/b", "..", "a b", "é\udce9", "r" * 300, "a\nb"),
        "runs_dir": ("", " ", "caf\udce9"),
        "export_dir": ("", "caf\udce9"),
        "data_dir": ("caf\udce9",),
    }.items():
        for value in values:
            yield Case("train", (*TINY, f"--{name}={value}"), (name,), quick=value not in LATER)
    for name, value in {
        "label_noise": "1",
        "label_smoothing": "1",
        "validation_share": "1",
        "learning_rate": "0",
        "momentum": "1",
        "factor": "0",
        "steps_per_execution": "0",
        "evaluate_every": "0",
        "log_every": "0",
        "image_size": "1000000",
        "batch_size": "1000000000",
        "epochs": "1000000000",
        "seed": str(2**63),
        "replicas": "1000000",
    }.items():
        yield Case("train", (*TINY, f"--{name}={value}"), (name,), quick=True)
    for text in (
        "--bach_size=3",
        "--epoch=3",
        "--dml.temprature=3",
        "--nosuch",
        "--no",
        "---epochs=3",
        "-epoch",
        "epochs=3",
        "--epochs",
        "--=3",
        "--nonetworks",
        "-",
    ):
        bare = text.strip("-").partition("=")[0]
        yield Case("train", (*TINY, text), (bare.removeprefix("no") or "flag",), quick=True)
    for network in (
        "resnet9999998",
        "resnet" + "9" * 5000,
        "wide_resnet_28_100000",
        "densenet_40_100000",
        "resnet60002_bottleneck",
        "densenet_100000_12",
    ):
        yield Case("train", (f"--networks={network}", *TINY[1:]), ("networks",), quick=True)


def of_hyperparameters() -> Iterator[Case]:
    """Every hyper-parameter of every method and transfer out of its range, and those of another."""
    from tfdistill.methods import METHODS
    from tfdistill.runs.hyperparameters import hyperparameters, hyperparameters_of_transfer
    from tfdistill.transfers import TRANSFERS

    for transfer in TRANSFERS:
        for name, one in hyperparameters_of_transfer(transfer).items():
            flag = f"{transfer}.{name}"
            for value in ["nothing"] if one.kind is str else wrong_values(one.kind):
                arguments = ("--method=dml", *PAIR, f"--also={transfer}", f"--{flag}={value}")
                yield Case("train", arguments, (flag,), quick=value != "3,2" and name != "taps")
            yield Case("train", ("--method=dml", *PAIR, f"--{flag}={one.default}"), (flag, "--also"), quick=True)
    for method in METHODS:
        for name, one in hyperparameters(method).items():
            flag = f"{method}.{name}"
            values = wrong_values(one.kind)
            values = ["nothing"] if one.kind is str else values
            for value in values:
                quick = not (one.kind is str and name in ("tap", "heads")) and value != "3,2"
                extra = ("--ffl.shared_trunk",) if flag == "ffl.tap" else ()
                yield Case("train", (f"--method={method}", *PAIR, *extra, f"--{flag}={value}"), (flag,), quick)
            if one.kind is float and "temperature" in name:
                yield Case("train", (f"--method={method}", *PAIR, f"--{flag}=0"), (flag,), quick=True)
        other = "dml" if method != "dml" else "afd"
        yield Case("train", (f"--method={method}", *PAIR, f"--{other}.temperature=3"), (f"{other}.temp",), quick=True)


def of_combinations() -> Iterator[Case]:
    """Flags that are good alone."""
    for arguments, names, quick in (
        (("--augmentation=cutout", "--cutout_size=9"), ("cutout_size",), False),
        (("--augmentation=cutout", "--cutout_size=10000"), ("cutout_size",), False),
        (("--cutout_size=4",), ("cutout_size",), True),
        (("--mixup_alpha=0.3",), ("mixup_alpha",), True),
        (("--batch_size=2000",), ("batch_size",), False),
        (("--replicas=2",), ("replicas",), False),
        (("--strategy=multi_worker",), ("strategy",), False),
        (("--train_examples=5000",), ("train_examples",), False),
        (("--unlabelled_dir=SCRATCH/images",), ("unlabelled_dir", "supervised"), True),
        (("--unlabelled_batch_size=3",), ("unlabelled_batch_size",), True),
        (("--unlabelled_rest", "--method=dml", *PAIR[:1]), ("unlabelled_rest",), True),
        (("--unlabelled_dir=SCRATCH/absent", "--method=dml", *PAIR[:1]), ("unlabelled_dir", "absent"), False),
        (("--unlabelled_dir=SCRATCH/empty", "--method=dml", *PAIR[:1]), ("unlabelled_dir", "empty"), False),
        (("--unlabelled_dir=SCRATCH/images", "--method=dml", *PAIR[:1]), ("unlabelled_batch_size",), False),
        (("--train_examples=3",), ("train_examples", "training examples"), False),
        (("--validation_share=0.00001",), ("validation_share",), False),
        (("--validation_share=0.99999",), ("validation_share",), False),
        (("--schedule=cosine", "--milestones=3"), ("milestones",), True),
        (("--schedule=step", "--milestones="), ("milestones",), True),
        (("--milestones=3,3",), ("milestones",), True),
        (("--milestones=0,3",), ("milestones",), True),
        (("--warmup_epochs=3",), ("warmup_epochs",), True),
        (("--schedule=cosine", "--warmup_epochs=500"), ("warmup",), False),
        (("--nesterov", "--momentum=0"), ("nesterov",), True),
        (("--method=dml",), ("networks",), False),
        (("--method=ie_dml",), ("networks",), False),
        (("--method=afd",), ("networks",), False),
        (("--method=kdcl",), ("networks",), False),
        (("--method=one", "--networks=resnet8,resnet14"), ("networks", "method"), False),
        (("--method=cl_ilr", "--networks=resnet8,wide_resnet_10_1"), ("networks", "method"), False),
        (("--method=one", *PAIR[:1], "--one.tap=stage9"), ("one.tap",), False),
        (("--method=ffl", *PAIR[:1], "--ffl.tap=stage1"), ("ffl.tap",), False),
        (("--method=dcm", *PAIR[:1], "--dcm.heads=C5"), ("dcm.heads",), False),
        (("--method=dcm", *PAIR[:1], "--dcm.heads=C2,C2"), ("dcm.heads",), False),
        (("--method=dcm", *PAIR[:1], "--dcm.heads=", "--dcm.pairs=cross"), ("dcm.pairs",), False),
        (("--method=dcm", "--networks=vgg13,vgg13"), ("networks", "method", "heads"), False),
        (("--keep_epochs=10,300", "--epochs=20"), ("keep_epochs",), True),
        (("--products=bfloat16", "--precision=mixed_bfloat16"), ("products",), True),
        (("--networks=imagenet_resnet18",), ("networks",), False),
        (("--networks=densenet_40_12:imagenet",), ("networks",), True),
        (("--image_size=16",), ("image_size",), False),
        (("--normalization=imagenet",), ("normalization",), False),
        (("--dataset=image_folder", "--image_size=8", "--data_dir=SCRATCH/latin1_images"), ("data_dir",), False),
        (("--reading=crop",), ("reading",), False),
        (("--dataset=image_folder",), ("data_dir",), False),
        (("--dataset=image_folder", "--image_size=8", "--data_dir=SCRATCH/absent"), ("data_dir", "absent"), False),
        (("--dataset=image_folder", "--image_size=8", "--data_dir=SCRATCH/text.txt"), ("text.txt",), False),
        (("--dataset=image_folder", "--image_size=8", "--data_dir=SCRATCH/empty"), ("empty",), False),
        (("--dataset=image_folder", "--data_dir=SCRATCH/images"), ("image_size",), False),
        (
            ("--dataset=image_folder", "--image_size=4096", "--data_dir=SCRATCH/images", "--batch_size=64"),
            ("batch_size",),
            False,
        ),
        (
            ("--dataset=image_folder", "--image_size=16384", "--data_dir=SCRATCH/images", "--batch_size=500"),
            ("image_size",),
            False,
        ),
        (("--strategy=mirrored", "--replicas=64", "--batch_size=64"), ("replicas",), False),
        (("--method=ie_dml", *PAIR[:1], "--ie_dml.factor_channels=100000"), ("ie_dml.factor_channels",), True),
        (("--dataset=image_folder", "--image_size=3", "--data_dir=SCRATCH/images"), ("image", "networks"), False),
        (("--dataset=cifar100", "--nodownload", "--data_dir=SCRATCH/absent"), ("cifar100", "data_dir"), False),
        (("--dataset=cifar10", "--nodownload", "--data_dir=SCRATCH/text.txt"), ("cifar10", "data_dir"), False),
        (("--dataset=tfds:no_such_set", "--nodownload"), ("dataset", "no_such_set"), False),
        (("--runs_dir=SCRATCH/text.txt",), ("runs_dir",), False),
        (("--runs_dir=SCRATCH/text.txt/deeper",), ("runs_dir",), False),
        (("--runs_dir=/proc/nowhere",), ("runs_dir",), False),
        (("--export", "--export_dir=SCRATCH/text.txt"), ("export_dir",), False),
        (("--export", "--export_dir=/proc/nowhere"), ("export_dir",), False),
        (("--networks=" + ",".join(["resnet8"] * 100),), ("networks",), True),
        (("--explain=dlm",), ("explain",), True),
        (("--explain=",), ("explain",), True),
        (("--explain=dml", "--networks=resnet8"), ("networks",), False),
        (("--explain=dml", "--dml.weight=-1"), ("dml.weight",), True),
        (("--explain=dml", "--image_size=1"), ("networks", "image"), False),
    ):
        yield Case("train", (*TINY, *arguments), names, quick)


def of_boxes() -> Iterator[Case]:
    """Flags of one class per image, and annotations of images with boxes that are none."""
    detector = ("--networks=ssd96_resnet8", "--batch_size=1", "--steps=1", "--noexport", "--nocheck_terms")
    for arguments, names in (
        *((f"--augmentation=standard,{name}", "augmentation") for name in ("randaugment", "cutout", "cutmix", "mixup")),
        ("--balance=loss", "balance"),
        ("--balance=sampling", "balance"),
        ("--label_smoothing=0.1", "label_smoothing"),
        ("--label_noise=0.1", "label_noise"),
        ("--split=0.8,0.2", "split"),
    ):
        yield Case("train", (*detector, "--dataset=digit_scenes", arguments), (names,), quick=True)
    for arguments, names in (
        ("--reading=crop", "reading"),
        ("--image_size=300", "image_size"),
        ("--normalization=imagenet", "normalization"),
        ("--train_examples=2001", "train_examples"),
    ):
        yield Case("train", (*detector, "--dataset=digit_scenes", arguments), (names,))
    for dataset in ("voc_folder", "coco_json"):
        folder = (*detector, f"--dataset={dataset}")
        yield Case("train", folder, ("data_dir",))
        yield Case("train", (*folder, "--data_dir=SCRATCH/images"), ("image_size",))
        yield Case("train", (*folder, "--image_size=96", "--data_dir=SCRATCH/images"), ("data_dir",))
        yield Case("train", (*folder, "--image_size=96", "--data_dir=SCRATCH/absent"), ("absent",))
        yield Case("train", (*folder, "--image_size=97", f"--data_dir=SCRATCH/boxes_good_{dataset}"), ("networks",))
        for name in ANNOTATIONS[dataset]:
            where = f"--data_dir=SCRATCH/boxes_{name}_{dataset}"
            if name != "good":
                yield Case("train", (*folder, "--image_size=96", where), ("data_dir",))
    yield Case("train", (*detector, "--dataset=voc", "--nodownload", "--data_dir=SCRATCH/empty"), ("voc/2007",))


# What is written of the training image, 12 x 12 pixels, by data set and fault.
VOC_BOX = "<xmin>{}</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax>"
VOC = f"<annotation><object><name>cat</name><bndbox>{VOC_BOX}</bndbox></object></annotation>"
LAUGHS = "".join(f'<!ENTITY e{number} "{f"&e{number - 1};" * 10}">' for number in range(1, 10))
COCO = (
    '{{"images": [{{"id": 1, "file_name": "a.png"}}], "categories": [{{"id": 1, "name": "cat"}}], "annotations": {}}}'
)
COCO_BOX = '[{{"image_id": {}, "category_id": 1, "bbox": [1, 1, {}, 9]}}]'
ANNOTATIONS = {
    "voc_folder": {
        "good": VOC.format(1),
        "no_xml": "<annotation><object>",
        "another_xml": "<html></html>",
        "entities": f'<!DOCTYPE annotation [<!ENTITY e0 "x">{LAUGHS}]><annotation>&e9;</annotation>',
        "file_of_another": '<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><annotation>&e;</annotation>',
        "nan": VOC.format("nan"),
        "infinite": VOC.format("1e999"),
        "without_objects": "<annotation></annotation>",
        "swapped": VOC.format(11),
        "outside": VOC.format(-5).replace("<xmax>9", "<xmax>-1"),
        "nested": "<annotation>" + "<a>" * 100_000 + "</a>" * 100_000,
    },
    "coco_json": {
        "good": COCO.format(COCO_BOX.format(1, 9)),
        "no_json": "{",
        "list": "[]",
        "nested": "[" * 100_000,
        "nan": COCO.format(COCO_BOX.format(1, "NaN")),
        "huge": COCO.format(COCO_BOX.format(1, "1" * 400)),
        "unknown_image": COCO.format(COCO_BOX.format(2, 9)),
        "no_categories": COCO.format("[]").replace('[{"id": 1, "name": "cat"}]', "[]"),
        "without_objects": COCO.format("[]"),
        "image_elsewhere": COCO.format(COCO_BOX.format(1, 9)).replace("a.png", "b.png"),
    },
}


def of_flagfiles() -> Iterator[Case]:
    """Flagfiles that cannot be read, or hold what is wrong."""
    for name in (
        "absent",
        "self",
        "mutual_a",
        "deep_0",
        "twice_0",
        "empty",
        "binary",
        "latin1",
        "huge",
        "fifo",
        "loop",
        "n" * 300,
        "",
    ):
        yield Case("train", (f"--flagfile=SCRATCH/{name}" if name else "--flagfile=",), ("flagfile",), quick=True)
    for name, word in {"no_dashes": "epochs=3", "trailing": "epochs", "wrong_value": "epochs", "quoted": "run"}.items():
        yield Case("train", (*TINY, f"--flagfile=SCRATCH/{name}"), (word,), quick=True)
    for program in ("evaluate", "export", "preview"):
        yield Case(program, ("--flagfile=SCRATCH/absent",), ("flagfile",))
        yield Case(program, ("--flagfile=SCRATCH/binary",), ("flagfile",))


def of_commands() -> Iterator[Case]:
    """The other commands' own flags."""
    run = ("--run=whole", "--runs_dir=SCRATCH/runs")
    for program, arguments, names in (
        ("evaluate", (), ("run",)),
        ("evaluate", ("--run=whole", "--saved_model=x"), ("run",)),
        ("evaluate", ("--run=hole", "--runs_dir=SCRATCH/runs"), ("run",)),
        ("evaluate", ("--run=whole", "--runs_dir=SCRATCH/absent"), ("runs_dir",)),
        ("evaluate", ("--run=whole", "--runs_dir=SCRATCH/text.txt"), ("runs_dir",)),
        ("evaluate", ("--run=whole", "--runs_dir="), ("runs_dir",)),
        ("evaluate", ("--run=..", "--runs_dir=SCRATCH/runs"), ("run",)),
        ("evaluate", ("--saved_model=SCRATCH/absent",), ("saved_model",)),
        ("evaluate", ("--saved_model=SCRATCH/text.txt",), ("saved_model",)),
        ("evaluate", ("--saved_model=SCRATCH/empty",), ("saved_model",)),
        ("evaluate", ("--saved_model=SCRATCH/broken_model",), ("saved_model",)),
        ("evaluate", (*run, "--split=valid"), ("split",)),
        ("evaluate", (*run, "--split="), ("split",)),
        ("evaluate", (*run, "--dataset=digit"), ("dataset",)),
        ("evaluate", (*run, "--dataset=cifar10", "--nodownload", "--data_dir=SCRATCH/absent"), ("cifar10",)),
        ("evaluate", (*run, "--dataset=image_folder", "--data_dir=SCRATCH/images"), ("image", "dataset")),
        ("evaluate", (*run, "--json=SCRATCH"), ("json",)),
        ("evaluate", (*run, "--json=SCRATCH/absent/x.json"), ("json",)),
        ("evaluate", (*run, "--json=caf\udce9.json"), ("json",)),
        ("evaluate", (*run, "--nosuch=3"), ("nosuch",)),
        ("evaluate", (*run, "stray"), ("stray",)),
        *(("evaluate", (*run, f"--batch_size={value}"), ("batch_size",)) for value in (*BROKEN, "0", "10000000000")),
        *(("evaluate", (*run, f"--image_size={value}"), ("image_size",)) for value in (*BROKEN, "10000000000")),
        ("evaluate", (*run, "--download=perhaps"), ("download",)),
        ("analyze", (), ("run",)),
        ("analyze", run, ("what",)),
        ("analyze", (*run, "--what="), ("what",)),
        ("analyze", (*run, "--what=cak"), ("what",)),
        ("analyze", ("--run=hole", run[1], "--what=errors"), ("run",)),
        ("analyze", ("--run=whole,", run[1], "--what=errors"), ("run",)),
        ("analyze", ("--run=SCRATCH/text.txt", run[1], "--what=errors"), ("run", "dataset")),
        ("analyze", ("--run=SCRATCH/broken_model", run[1], "--dataset=digits", "--what=errors"), ("run",)),
        ("analyze", (*run, "--what=errors", "--teacher=SCRATCH/absent"), ("teacher",)),
        ("analyze", (*run, "--what=errors", "--out=SCRATCH/text.txt"), ("out",)),
        ("analyze", (*run, "--what=projection", "--classes=0,1,x"), ("classes",)),
        ("analyze", (*run, "--what=cka", "--taps=stage99"), ("taps",)),
        ("analyze", (*run, "--what=sharpness", "--sigmas=-1"), ("sigmas",)),
        ("analyze", (*run, "--what=sharpness", "--draws=1"), ("draws",)),
        *(("analyze", (*run, "--what=errors", f"--examples={value}"), ("examples",)) for value in BROKEN),
        *(("analyze", (*run, "--what=sharpness", f"--sigmas={value}"), ("sigmas",)) for value in BROKEN[:-3] if value),
        *(("analyze", (*run, "--what=lrp", f"--gamma={value}"), ("gamma",)) for value in BROKEN),
        ("analyze", (*run, "--what=lrp", "--composite=alpha_beta"), ("composite",)),
        ("analyze", (*run, "--what=lrp", "--channels=inheritance"), ("channels",)),
        ("analyze", (*run, "--what=lrp", "--channels=half"), ("channels",)),
        ("analyze", (*run, "--what=lrp", "--lower=2"), ("lower",)),
        ("analyze", (*run, "--what=grad_cam", "--explain=kiwi"), ("explain",)),
        ("analyze", (*run, "--what=grad_cam", "--explain="), ("explain",)),
        ("analyze", (*run, "--what=grad_cam", "--taps=logits"), ("taps",)),
        ("analyze", (*run, "--what=grad_cam", "--classes=10"), ("classes",)),
        ("analyze", (*run, "--what=errors", "--images=0"), ("images",)),
        ("analyze", (*run, "--what=cka", "--nohalves"), ("run", "taps")),
        ("analyze", (*run, "--what=cka", "--examples=1"), ("examples",)),
        ("analyze", (*run, "--what=feature_distance"), ("run", "teacher")),
        ("analyze", (*run, "--what=calibration", "--bins=0"), ("bins",)),
        ("analyze", (*run, "--what=active_neurons", "--gradient_share=0"), ("gradient_share",)),
        ("analyze", (*run, "--what=errors", "--labels=a,b"), ("labels",)),
        ("analyze", (*run, "--what=errors", "--labels=a,a"), ("labels",)),
        ("analyze", (*run, "--what=errors", "--teacher=whole"), ("labels", "run")),
        ("analyze", (*run, "--what=errors", "--teacher=SCRATCH/text.txt"), ("teacher",)),
        ("analyze", (*run, "--what=errors", "--teacher=SCRATCH/broken_model"), ("teacher",)),
        ("analyze", (*run, "--what=errors", "--split=valid"), ("split",)),
        ("analyze", (*run, "--what=errors", "--dataset=digit"), ("dataset",)),
        ("analyze", (*run, "--what=errors", "--dataset=digit_scenes"), ("dataset",)),
        (
            "analyze",
            (*run, "--what=errors", "--dataset=image_folder", "--data_dir=SCRATCH/images"),
            ("image", "dataset"),
        ),
        ("analyze", (*run, "--what=errors", "--batch_size=0"), ("batch_size",)),
        ("analyze", (*run, "--what=errors", "--image_size=0.5"), ("image_size",)),
        ("analyze", (*run, "--what=errors", "--out="), ("out",)),
        ("analyze", (*run, "--what=errors", "--out=caf\udce9"), ("out",)),
        ("analyze", (*run, "--what=errors", "--nosuch=3"), ("nosuch",)),
        ("analyze", (*run, "--what=errors", "stray"), ("stray",)),
        ("analyze", (*run, "--what=errors", "--taps"), ("taps",)),
        ("analyze", ("--run=whole:resnet9", run[1], "--what=errors"), ("run",)),
        ("analyze", ("--run=whole@3", run[1], "--what=errors"), ("run", "keep_epochs")),
        ("analyze", ("--run=whole,whole", run[1], "--what=errors"), ("run", "labels")),
        ("analyze", ("--run=SCRATCH/edited", run[1], "--what=errors"), ("flags.json",)),
        ("export", (), ("run",)),
        ("export", ("--run=hole", "--runs_dir=SCRATCH/runs"), ("run",)),
        ("export", ("--run=whole", "--runs_dir=SCRATCH/absent"), ("runs_dir",)),
        ("export", ("--run=whole", "--runs_dir="), ("runs_dir",)),
        ("export", (*run, "--network=resnet9"), ("network",)),
        ("export", (*run, "--export_dir=SCRATCH/text.txt"), ("export_dir",)),
        ("export", (*run, "--export_dir=caf\udce9"), ("export_dir",)),
        ("export", (*run, "--again=perhaps"), ("again",)),
        ("export", (*run, "--agian"), ("agian",)),
        ("export", ("--run=unfinished", "--runs_dir=SCRATCH/runs"), ("run", "unfinished")),
        *((program, ("--run=whole@3", run[1]), ("keep_epochs",)) for program in ("evaluate", "export")),
        *((program, ("--run=hole@3", run[1]), ("run",)) for program in ("evaluate", "export")),
        *(
            (program, ("--run=whole@3", run[1], "--export_epoch=last"), ("export_epoch",))
            for program in ("evaluate", "export")
        ),
        *(("preview", (f"--count={value}",), ("count",)) for value in (*BROKEN, "0", "100000000000")),
        *(("preview", (f"--step={value}",), ("step",)) for value in (*BROKEN, "100000000000000000000")),
        ("preview", ("--out=SCRATCH",), ("out",)),
        ("preview", ("--out=",), ("out",)),
        ("preview", ("--out=SCRATCH/absent/x.png",), ("out",)),
        ("preview", ("--out=caf\udce9.png",), ("out",)),
        ("preview", ("--dataset=digit",), ("dataset",)),
        ("preview", ("--batch_size=2000",), ("batch_size",)),
        ("preview", ("--augmentation=cutout", "--cutout_size=100"), ("cutout_size",)),
        ("preview", ("--label_noise=1",), ("label_noise",)),
    ):
        yield Case(program, arguments, names)
    for name, key in EDITED.items():
        for program in ("train", "evaluate", "export"):
            extra = TINY if program == "train" else ()
            yield Case(program, (*extra, f"--run={name}", "--runs_dir=SCRATCH/runs"), (key,))


# Runs whose flags.json somebody has edited: the run, and what a message has to have. The file's name is in all.
EDITED = {
    "edited_cut": "flags.json",
    "edited_empty": "flags.json",
    "edited_list": "flags.json",
    "edited_binary": "flags.json",
    "edited_unknown": "epoch",
    "edited_missing": "hyperparameters",
    "edited_type": "epochs",
    "edited_range": "seed",
    "edited_null": "networks",
    "edited_text": "networks",
    "edited_network": "networks",
    "edited_method": "method",
    "edited_hyper": "hyperparameters",
}


def of_files() -> Iterator[Case]:
    """Weights that are not there, damaged, of other shapes, or hold what no weights file should."""
    for name in (
        "absent.npz",
        "empty.npz",
        "text.txt",
        "empty",
        "folder.npz",
        "cut.npz",
        "cut.weights.h5",
        "cut.keras",
        "cut.safetensors",
        "flipped.npz",
        "flipped.weights.h5",
        "flipped.keras",
        "other.npz",
        "other.weights.h5",
        "other.keras",
        "pickled.npz",
        "claims.npz",
        "claims.weights.h5",
        "claims.keras",
        "claims.safetensors",
        "bomb.npz",
        "bomb.keras",
        "external.weights.h5",
        "raw.weights.h5",
        "virtual.weights.h5",
        "soft.weights.h5",
        "integers.npz",
        "edited/flags.json",
        "runs/unfinished",
        "runs/whole:resnet9",
    ):
        yield Case("train", (f"--networks=resnet8:SCRATCH/{name}", *TINY[1:]), ("networks",))
    yield Case("train", ("--networks=resnet14:SCRATCH/runs/whole:resnet8", *TINY[1:]), ("networks",))
    yield Case("train", ("--networks=resnet8:SCRATCH/runs/edited_whole:resnet8", *TINY[1:]), ("flags.json",))
    yield Case("train", ("--networks=resnet8:caf\udce9.npz", *TINY[1:]), ("networks",))


def of_teachers() -> Iterator[Case]:
    """Teachers that are none, are not there or are damaged, and what is said of them wrongly."""
    for arguments, names in (
        (("--teacher_normalization=raw",), ("teacher_normalization",)),
        (("--teacher_classes=by_name",), ("teacher_classes",)),
        (("--teacher_views=3",), ("teacher_views",)),
        (("--teacher=a", "--teacher_views=3", "--augmentation=standard,cutmix"), ("teacher_views",)),
        (("--teacher=a", "--teacher_views=3", "--augmentation=none"), ("teacher_views",)),
        (("--teacher=a", "--teacher_views=3", "--balance=sampling"), ("teacher_views",)),
        (("--taps=features:conv",), ("taps",)),
        (("--teacher=a.keras", "--taps=features"), ("taps",)),
        (("--teacher=a.keras", "--taps=:conv"), ("taps",)),
        (("--teacher=a.keras", "--taps=features:"), ("taps",)),
        (("--teacher=a.keras", "--taps=b.features:conv"), ("taps",)),
        (("--teacher=a", "--taps=features:conv"), ("taps",)),
        (("--teacher=a", "--teacher_normalization=imagnet"), ("teacher_normalization",)),
        (("--teacher=a,b", "--teacher_normalization=raw,raw,raw"), ("teacher_normalization",)),
        (("--teacher=a+b", "--teacher_normalization=raw+raw+raw"), ("teacher_normalization",)),
        (("--teacher=a,b", "--teacher_classes=same,same,same"), ("teacher_classes",)),
        (("--teacher=a+b", "--teacher_classes=same+same+same"), ("teacher_classes",)),
    ):
        yield Case("train", (*TAUGHT, *arguments), names, quick=True)
    yield Case("train", ("--method=dml", *PAIR, "--teacher=SCRATCH/runs/whole"), ("teacher",), quick=True)
    for source in (
        "",
        "SCRATCH/absent",
        "SCRATCH/absent.keras",
        "SCRATCH/text.txt",
        "SCRATCH/empty",
        "SCRATCH/broken_model",
        "SCRATCH/right.npz",
        "SCRATCH/cut.keras",
        "SCRATCH/flipped.keras",
        "SCRATCH/claims.keras",
        "SCRATCH/code.keras",
        "SCRATCH/fewer.keras",
        "SCRATCH/runs/unfinished",
        "SCRATCH/runs/edited_list",
        "SCRATCH/runs/whole:resnet9",
        "SCRATCH/runs/whole@3",
        "SCRATCH/runs/whole@3:resnet8",
        "SCRATCH/text.txt@3",
        "SCRATCH/right.keras+SCRATCH/absent.keras",
        "resnet14:SCRATCH/runs/whole:resnet8",
        "resnet8:SCRATCH/runs/whole@3",
        "resnet8:SCRATCH/absent.npz",
        "resnet8:SCRATCH/other.npz",
        "resnet9:SCRATCH/right.npz",
        "keras_resnet50:imagenet",
        "caf\udce9",
    ):
        yield Case("train", (*TAUGHT, f"--teacher={source}"), ("teacher",))
    known = ("--teacher=SCRATCH/right.keras", *TAUGHT)
    for name in ("absent.txt", "text.txt", "binary", "empty"):
        yield Case("train", (*known, f"--teacher_classes=SCRATCH/{name}"), ("teacher",))
    yield Case("train", (*known, "--teacher_classes=by_name"), ("teacher",))
    yield Case("train", (*known, "--taps=features:nosuch"), ("nosuch",))
    yield Case("train", ("--networks=SCRATCH/code.keras", *TINY[1:]), ("networks", "trust_code"))
    yield Case("train", ("--networks=resnet8:SCRATCH/runs/whole@3", *TINY[1:]), ("networks",))


# Table files that are wrong, and what a message has to have. The file's name is in all.
TABLES = {
    "cut": ("[rows.a", "TOML"),
    "binary": ("\0", "TOML"),
    "silent": ("", "rows"),
    "key": ("[rows.a]\nflag = {}", "flag"),
    "name": ('[rows."a b"]', "rows"),
    "flag": ("[rows.a]\nflags.epohcs = 3", "epohcs"),
    "value": ('[rows.a]\nflags.epochs = "three"', "epochs"),
    "own": ("[rows.a]\nflags.seed = 3", "seed"),
    "seeds": ("seeds = [1, 1]\n[rows.a]", "seeds"),
    "figures": ("[rows.a]\npaper.mean = nan", "mean"),
    "baseline": ('[rows.a]\nbaseline = "b"', "baseline"),
    "flagfile": ('[rows.a]\nflags.flagfile = "nowhere.flags"', "flagfile"),
    "same": ('[rows.a]\nsame_as = "nowhere:b"', "same_as"),
    "itself": ('[rows.a]\nteacher = "a"', "teacher"),
    "circle": ('[rows.a]\nteacher = "b"\n[rows.b]\nteacher = "a"', "teacher"),
    "nobody": ('[rows.a]\nteacher = "b"', "teacher"),
    "word": ('[rows.a]\nteacher = "b@ten"\n[rows.b]', "teacher"),
    "unkept": ('[rows.a]\nteacher = "b@3"\nflags = { method = "distillation", also = "kd" }\n[rows.b]', "keep_epochs"),
    "untaught": ('[rows.a]\nteacher = "b"\n[rows.b]', "teacher"),
    "grid": ("[grid]\nx = [1]\ny = [1]\nz = [1]", "grid"),
    "twice": ("[grid]\nepochs = [1, 1]", "epochs"),
    "paper": ("[grid]\nepochs = [1, 2]\n[grid_paper]\ntest = [1]", "grid_paper"),
}


def of_tables() -> Iterator[Case]:
    """The command `table`: files that are none or wrong, and its flags."""
    for arguments, names in (
        ((), ("table",)),
        (("SCRATCH/absent.toml",), ("table",)),
        (("afd_tabel3",), ("table",)),
        (("afd_table3:dml_resnet20_resnet20",), ("table",)),
        (("afd_table3", "afd_table3"), ("table",)),
        (("SCRATCH/no_dashes",), ("no_dashes",)),
        (("SCRATCH/wrong_value",), ("wrong_value",)),
        *(((f"SCRATCH/table_{name}.toml",), (word,)) for name, (_, word) in TABLES.items()),
        *((("afd_table3", f"--seeds={value}"), ("seeds",)) for value in ("", "x", "-1", "1,1", "1.5", "１")),
        *((("afd_table3", f"--jobs={value}"), ("jobs",)) for value in ("", "x", "-1", "0", "1.5", "1e20")),
        *((("afd_table3", f"--epochs={value}"), ("epochs",)) for value in ("", "x", "-1", "0", "1.5", "1e20")),
        (("afd_table3", "--rows=nobody"), ("rows",)),
        (("afd_table3", "--baseline=nobody"), ("baseline",)),
        (("afd_table3", "--set"), ("set",)),
        (("afd_table3", "--set=batch_size"), ("set",)),
        (("afd_table3", "--set=epohcs=2"), ("epohcs",)),
        (("afd_table3", "--set=batch_size=x"), ("batch_size",)),
        (("afd_table3", "--set=seed=3"), ("seed",)),
        (("afd_table3", "--set", "batch_size=64", "batch_size=32"), ("batch_size",)),
        (("afd_table3", "--epochs=2", "--set=keep_epochs=3"), ("keep_epochs",)),
        (("afd_table3", "--runs_dir="), ("runs_dir",)),
        (("afd_table3", "--json=SCRATCH"), ("json",)),
        (("afd_table3", "--markdown=SCRATCH/absent/x.md"), ("markdown",)),
        (("afd_table3", "--csv=SCRATCH"), ("csv",)),
        (("afd_table3", "--picture=SCRATCH/absent/x.png"), ("picture",)),
        (("afd_table3", "--picture=x.txt"), ("picture",)),
        (("afd_table3", "--json=SCRATCH/table.json", "--notrain"), ("table.json",)),
        (("afd_table3", "--nosuch"), ("nosuch",)),
    ):
        yield Case("table", arguments, names, quick=True)


def make_scratch(scratch: Path) -> None:
    """The files that the cases speak of."""
    make_flagfiles(scratch)
    for name in ("empty", "images/train/a", "images/train/b", "images/test/a", "images/test/b", "folder.npz", "edited"):
        (scratch / name).mkdir(parents=True, exist_ok=True)
    (scratch / "text.txt").write_text("text\n")
    (scratch / "edited" / "flags.json").write_text("{")
    from PIL import Image

    for split in ("train", "test"):
        for label in "ab":
            for index in range(40):
                Image.new("RGB", (12, 12), (index, 9, 99)).save(scratch / f"images/{split}/{label}/{index}.png")
    make_boxes(scratch)
    (scratch / "broken_model" / "1").mkdir(parents=True)
    (scratch / "broken_model" / "1" / "saved_model.pb").write_bytes(b"\xff\x00no model")
    folder = os.fsencode(scratch / "latin1_images")
    shutil.copytree(scratch / "images", scratch / "latin1_images")
    os.rename(folder + b"/train/a", folder + b"/train/caf\xe9")
    make_weights(scratch)
    status, _, error = call("train", (*TINY, "--run=whole", f"--runs_dir={scratch / 'runs'}"), scratch)
    assert status == 0, error
    make_edited(scratch / "runs")


def make_boxes(scratch: Path) -> None:
    """Folders of images with boxes, tested on a good annotation and trained on one that is not."""
    from PIL import Image

    for dataset, contents in ANNOTATIONS.items():
        is_voc = dataset == "voc_folder"
        for name, text in contents.items():
            root = scratch / f"boxes_{name}_{dataset}"
            for part in ("train", "test"):
                written = text if part == "train" else contents["good"]
                image = root / (f"JPEGImages/{part}.png" if is_voc else f"{part}/a.png")
                annotation = root / (f"Annotations/{part}.xml" if is_voc else f"{part}.json")
                for file in (image, annotation):
                    file.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (12, 12), (len(part), 9, 99)).save(image)
                annotation.write_text(written)
                if is_voc:
                    (root / "ImageSets/Main").mkdir(parents=True, exist_ok=True)
                    (root / f"ImageSets/Main/{part}.txt").write_text(f"{part}\n")


def make_flagfiles(scratch: Path) -> None:
    """Flagfiles and table files."""
    for name, (text, _) in TABLES.items():
        (scratch / f"table_{name}.toml").write_text(text)
    (scratch / "table.json").write_text("{}")
    for name, text in {
        "self": "--flagfile=self\n",
        "mutual_a": "--flagfile=mutual_b\n",
        "mutual_b": "--flagfile=mutual_a\n",
        "no_dashes": "epochs=3\n",
        "trailing": "--epochs=3 # three\n",
        "wrong_value": "--epochs=three\n",
        "quoted": '--run="mine"\n',
        "huge": "# filler\n" * 400_000 + "--epochs=x\n",
        **{f"deep_{index}": f"--flagfile=deep_{index + 1}\n" for index in range(1200)},
        **{f"twice_{index}": f"--flagfile=twice_{index + 1}\n" * 2 for index in range(18)},
        "twice_18": "--epochs=x\n",
    }.items():
        (scratch / name).write_text(text)
    (scratch / "binary").write_bytes(bytes(range(256)))
    (scratch / "latin1").write_bytes("--run=café\n".encode("latin-1"))
    os.mkfifo(scratch / "fifo")
    (scratch / "loop").symlink_to(scratch / "loop")


def make_weights(scratch: Path) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    from tfdistill import networks
    from tfdistill.networks.weights import weights_of

    right = networks.build("resnet8", classes=10, image_shape=(8, 8, 1), seed=1)
    other = networks.build("wide_resnet_10_2", classes=10, image_shape=(8, 8, 1), seed=1)
    for name, network in (("right", right), ("other", other)):
        network.save(scratch / f"{name}.keras")
        network.save_weights(scratch / f"{name}.weights.h5")
        arrays = {key: value.numpy() for key, value in weights_of(network).items()}
        np.savez(scratch / f"{name}.npz", **arrays)
        save_file(arrays, scratch / f"{name}.safetensors")
    import keras

    inputs = keras.Input((8, 8, 1))
    coded = keras.layers.Dense(10)(keras.layers.Flatten()(keras.layers.Lambda(lambda x: x * 2)(inputs)))
    keras.Model(inputs, coded).save(scratch / "code.keras")
    networks.build("resnet8", classes=9, image_shape=(8, 8, 1), seed=1).save(scratch / "fewer.keras")
    for suffix in ("npz", "weights.h5", "keras", "safetensors"):
        content = (scratch / f"right.{suffix}").read_bytes()
        (scratch / f"cut.{suffix}").write_bytes(content[: len(content) // 2])
        flipped = bytearray(content)
        for place in range(0, len(flipped), 97):
            flipped[place] ^= 0xFF
        (scratch / f"flipped.{suffix}").write_bytes(flipped)
    (scratch / "empty.npz").write_bytes(b"")
    arrays = {key: value.numpy() for key, value in weights_of(right).items()}
    np.savez(scratch / "pickled.npz", **{**arrays, "stem/kernel": np.array([print], object)})
    np.savez(scratch / "integers.npz", **{key: value.astype(int) for key, value in arrays.items()})
    make_claims(scratch, arrays)
    make_links(scratch)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (250_000_000,)})
    make_bomb(scratch / "bomb.npz", "stem/kernel.npy", header.getvalue(), megabytes=1000)
    right = (scratch / "right.weights.h5").read_bytes()
    make_bomb(scratch / "bomb.keras", "model.weights.h5", right, megabytes=4000)


def make_bomb(path: Path, name: str, begin: bytes, *, megabytes: int) -> None:
    """A small file that unpacks to a large one."""
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open(name, "w", force_zip64=True) as member,
    ):
        member.write(begin)
        for _ in range(megabytes):
            member.write(bytes(1_000_000))


def make_claims(scratch: Path, arrays: dict) -> None:
    """Files of a few bytes that claim 10^12 values."""
    import h5py
    import numpy as np

    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (10**6, 10**6)})
    with zipfile.ZipFile(scratch / "claims.npz", "w") as archive:
        archive.writestr("stem/kernel.npy", header.getvalue() + bytes(64))
    content = (scratch / "right.weights.h5").read_bytes()
    path = scratch / "claims.weights.h5"
    path.write_bytes(content)
    with h5py.File(path, "r+") as file:
        found = first_vars(file)
        del found["0"]
        found.create_dataset("0", shape=(10**6, 10**6), dtype="f4", chunks=(1000, 1000))
    with zipfile.ZipFile(scratch / "claims.keras", "w") as archive:
        archive.write(path, "model.weights.h5")
    told = json.dumps({"stem/kernel": {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, 4 * 10**12]}})
    (scratch / "claims.safetensors").write_bytes(len(told).to_bytes(8, "little") + told.encode() + bytes(64))


def make_links(scratch: Path) -> None:
    """Weights that lie elsewhere: links, raw storage and virtual arrays read other files."""
    import h5py

    content = (scratch / "right.weights.h5").read_bytes()
    (scratch / "raw.bin").write_bytes(bytes(4 * 3 * 3 * 16))
    for name in ("external", "raw", "virtual", "soft"):
        path = scratch / f"{name}.weights.h5"
        path.write_bytes(content)
        with h5py.File(path, "r+") as file:
            found = first_vars(file)
            shape, inside = found["0"].shape, found.name
            del found["0"]
            if name == "external":
                found["0"] = h5py.ExternalLink(str(scratch / "right.weights.h5"), f"{inside}/0")
            elif name == "soft":
                found["0"] = h5py.SoftLink("/nowhere")
            elif name == "raw":
                found.create_dataset("0", shape, "f4", external=[(str(scratch / "raw.bin"), 0, h5py.h5f.UNLIMITED)])
            else:
                layout = h5py.VirtualLayout(shape, "f4")
                layout[...] = h5py.VirtualSource(str(scratch / "right.weights.h5"), f"{inside}/0", shape)
                found.create_virtual_dataset("0", layout)


def first_vars(file):
    """The group of the first layer's variables."""
    found = []
    file.visititems(lambda path, one: found.append(one) if path.endswith("/vars") and len(one) else None)
    return found[0]


def make_edited(runs: Path) -> None:
    """Runs with a checkpoint and a flags.json that is no longer what was written."""
    whole = json.loads((runs / "whole" / "flags.json").read_text())

    def edited(**changes: object) -> str:
        return json.dumps({**whole, **changes})

    without = {name: value for name, value in whole.items() if name != "hyperparameters"}
    for name, content in {
        "edited_cut": json.dumps(whole)[:200],
        "edited_empty": "",
        "edited_list": "[]",
        "edited_binary": "\0\1\2",
        "edited_unknown": edited(epoch=3),
        "edited_missing": json.dumps(without),
        "edited_type": edited(epochs="three"),
        "edited_range": edited(seed=-1),
        "edited_null": edited(networks=None),
        "edited_text": edited(networks=3),
        "edited_network": edited(networks=["resnt8"]),
        "edited_method": edited(method="dlm"),
        "edited_hyper": edited(hyperparameters=3),
        "edited_whole": "{",
    }.items():
        shutil.copytree(runs / "whole", runs / name)
        (runs / name / "results.json").unlink()
        (runs / name / "flags.json").write_text(content)
    (runs / "unfinished").mkdir()
    (runs / "unfinished" / "flags.json").write_text(json.dumps(whole))


def call(program: str, arguments: Sequence[str], folder: Path) -> tuple[int, str, str]:
    """Calls the command's main: (exit status, standard output, standard error); 99 where it raises."""
    main = importlib.import_module(f"tfdistill.commands.{program}").main
    out, err = io.StringIO(), io.StringIO()
    os.chdir(folder)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main(list(arguments))
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else 1
        except BaseException:
            status = 99
            traceback.print_exc()
    return status, out.getvalue(), err.getvalue()


def outcome(case: Case, status: int, error: str) -> str:
    """Which of `OUTCOMES` it is."""
    if status == 99 or "Traceback (most recent call last)" in error:
        return "traceback"
    if status == 0:
        return "exit 0"
    lines = [line for line in error.splitlines() if line.strip() and "UserWarning" not in line]
    if sum(": error: " in line for line in lines) != 1 or len(lines) != 1:
        return "several lines"
    message = lines[0].partition(": error: ")[2]
    if case.names and not any(name in message for name in case.names):
        return "flag not named"
    return "refused in one line"


def work(scratch: Path) -> None:
    """A process that runs the cases whose numbers it reads, and writes what each ended in."""
    resource.setrlimit(resource.RLIMIT_DATA, (GIBIBYTES * 2**30,) * 2)
    every = cases(scratch)
    results = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    for line in sys.stdin:
        case = every[int(line)]
        named = any(one.startswith(("--run=", "--explain", "--runs_dir")) for one in case.arguments)
        extra = () if case.program != "train" or named else (f"--run=case{int(line)}",)
        status, _, error = call(case.program, (*extra, *case.arguments), scratch)
        print(json.dumps([outcome(case, status, error), error[-1500:]]), file=results, flush=True)


class Worker:
    """A process that runs cases, and is started anew where one ended it."""

    def __init__(self, scratch: Path) -> None:
        self.scratch, self.process = scratch, None

    def run(self, index: int) -> tuple[str, str]:
        if self.process is None:
            command = [sys.executable, __file__, f"--work={self.scratch}"]
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
        self.process.stdin.write(f"{index}\n")
        self.process.stdin.flush()
        import select

        ready, _, _ = select.select([self.process.stdout], [], [], SECONDS)
        line = self.process.stdout.readline() if ready else ""
        if line:
            found, error = json.loads(line)
            return found, error
        self.process.kill()
        status = self.process.wait()
        self.process = None
        return ("hang", "") if not ready else ("crash", f"status {status}")


def main() -> int:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="those whose description has the word")
    parser.add_argument("--work", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(Path(options.work))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        make_scratch(scratch)
        every = cases(scratch)
        worker, counts = Worker(scratch), collections.Counter()
        for index, case in enumerate(every):
            if options.only not in str(case):
                continue
            found, error = worker.run(index)
            counts[found] += 1
            if found != OUTCOMES[0]:
                told = ascii(re.sub(r"\s+", " ", error).strip()[-300:])
                print(f"{found}: {str(case).replace(str(scratch), 'SCRATCH')!a}\n    {told}", flush=True)
        print(f"{sum(counts.values())} bad commands: " + ", ".join(f"{counts[one]} {one}" for one in OUTCOMES))
    return 0 if set(counts) <= {OUTCOMES[0]} else 1


if __name__ == "__main__":
    sys.exit(main())
