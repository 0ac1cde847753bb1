"""The flags of a run by group: each field of a group is a flag, with its default, bounds and help stated here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tfdistill.bounds import Bounds, Filled, Number, one_of
from tfdistill.data import AUGMENTATIONS, BALANCES, MAX_PIXELS, NORMALIZATIONS, READINGS, TFDS_PATTERN
from tfdistill.devices.names import PRECISIONS, PRODUCTS, STRATEGIES, TEACHER_AHEAD, TEACHER_PRECISIONS
from tfdistill.optimizers import PROTOCOLS
from tfdistill.optimizers.checks import DECAY_ON, KINDS, SCHEDULES
from tfdistill.runs.teacher_texts import BY_NAME, CAFFE, OWN, SAME
from tfdistill.tasks import TASKS
from tfdistill.transfers import TRANSFERS

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
EPOCHS = one_of(("last", "best"))
BAD_IMAGES = one_of(("fail", "mark"))

PROTOCOLS_OWN = "the protocol's"


def flag(
    default: Any,
    text: str,
    bounds: Bounds | None = None,
    *,
    unset: str = "",
    value: str = "",
    changes_training: bool = True,
) -> Any:
    """A field that is a flag.

    Args:
        default: its value where the flag is not given.
        text: its help, in whole sentences.
        bounds: of the value, or of each element of a list.
        unset: what a default of 0, "" or None stands for, such as "the protocol's".
        value: what help writes for a value, such as FOLDER; made from type and bounds if empty.
        changes_training: whether a training that has begun cannot go on with another value.
    """
    told = {"help": text, "bounds": bounds, "unset": unset, "value": value, "changes_training": changes_training}
    return field(default=default, metadata=told)


@dataclass(frozen=True)
class RunFlags:
    """Run"""

    method: str = flag(
        "supervised",
        "How the networks learn; --list names the methods. A transfer's name is distillation by it.",
        value="NAME",
    )
    also: tuple[str, ...] = flag(
        (),
        "Transfers that are added to the method, comma-separated; --list names them. A network takes them from the "
        "teacher where there is one, else from every other network.",
        one_of(TRANSFERS),
        unset="none",
        value="NAME,NAME",
    )
    links: tuple[str, ...] = flag(
        (),
        "Transfers of each link of a --chain, comma-separated, or of all links if there is one value. A+B takes both, "
        "and A:HYPERPARAMETER=VALUE tells one what it has to be told there: --links=kd:temperature=3,mse+kd.",
        unset="those of --also at every link, or kd",
        value="NAME,NAME",
    )
    run: str = flag(
        "",
        "Name of the run and of its folders.",
        unset="made from method, networks, data set and seed",
        value="NAME",
        changes_training=False,
    )
    runs_dir: str = flag(
        "runs", "Folder of all runs: logs, checkpoints, results.", Filled("a folder"), changes_training=False
    )
    checkpoint_seconds: float = flag(
        60.0, "Seconds between checkpoints. The end of the run always has one.", COUNT, changes_training=False
    )
    check_terms: bool = flag(
        True,
        "Before the first step, refuse a method of which a term or a model would silently do nothing.",
        changes_training=False,
    )
    evaluate_every: int = flag(
        1,
        "Epochs between two scorings of the networks. The end of the run always has one.",
        AT_LEAST_ONE,
        changes_training=False,
    )
    log_every: int = flag(
        100, "Training steps between two points in TensorBoard.", AT_LEAST_ONE, changes_training=False
    )
    keep_epochs: tuple[int, ...] = flag(
        (),
        "Epochs whose weights stay in the run's folder, counted from 1, such as 10,20. runs/NAME@10 is that epoch "
        "wherever a run's folder teaches or gives weights, and --run=NAME@10 scores or exports it.",
        Number(1, 1_000_000),
        unset="none",
        value="EPOCH,EPOCH",
        changes_training=False,
    )
    export: bool = flag(True, "Export every network at the end.", changes_training=False)
    export_epoch: str = flag(
        "last",
        "Epoch whose weights are exported: last, or best on the held-out validation data, which --split or "
        "--validation_share has to provide. The test data has no say in it.",
        EPOCHS,
    )
    export_dir: str = flag("saved_models", "Folder of all exports.", Filled("a folder"), changes_training=False)
    export_bad_images: str = flag(
        "fail",
        "An export's answer to image files that it cannot read: fail refuses their batch and names the image; mark "
        "answers the others, and the output `valid` says which.",
        BAD_IMAGES,
        changes_training=False,
    )


@dataclass(frozen=True)
class NetworkFlags:
    """Networks"""

    networks: tuple[str, ...] = flag(
        ("resnet20",),
        "Networks, comma-separated; --list names them. FILE.keras is the model in a file of Keras, with its weights. "
        "NAME:imagenet starts from Keras' ImageNet weights, where keras.applications has that network: "
        "resnet50:imagenet. NAME:PATH starts from the weights in a run's folder (NAME:PATH:NETWORK says which network "
        "of it, NAME:PATH@10 which of its --keep_epochs), a checkpoint, or a .keras, .weights.h5, .npz or .safetensors "
        "file. ImageNet ResNets and mobilenet_v2 read files with torchvision's or timm's names too. A detector takes "
        "the weights of its backbone from a classifier there. What tells classes apart starts anew where it is for "
        "other classes.",
        value="NAME,NAME",
    )
    teacher: tuple[str, ...] = flag(
        (),
        "Models that the networks learn from and that nothing moves, comma-separated: a run's folder, such as "
        "runs/NAME, whose newest checkpoint counts (runs/NAME:NETWORK says which network of it, runs/NAME@10 which of "
        "its --keep_epochs); NETWORK:SOURCE as in --networks; a .keras file; or a SavedModel, which gives its answer "
        "and no maps. A,B are two teachers, by the mean of whose losses the networks learn; A+B is one, whose answer "
        "is the mean of A's and B's.",
        unset="none",
        value="SOURCE,SOURCE",
        changes_training=False,  # what they are is told by their weights' fingerprints, wherever they lie
    )
    teacher_normalization: tuple[str, ...] = flag(
        (),
        "Images that each teacher was trained on, or one value for all teachers; for A+B also a value for each, such "
        f"as raw+own. A teacher gets the networks' images made into these, at its own size: {', '.join(NORMALIZATIONS)}"
        f" (raw is pixels in 0..255, symmetric -1..1), {CAFFE} (Keras' ResNets and VGGs), or {OWN}: as a run or an "
        "export records it, raw for other SavedModels, and as the networks' images for files.",
        unset=OWN,
        value="NAME,NAME",
    )
    teacher_classes: tuple[str, ...] = flag(
        (),
        f"Classes of each teacher, or one value for all teachers. {SAME}: those of the data, in their order. "
        f"{BY_NAME}: more of them or another order, and the data's are picked out by their names, which runs and "
        "exports record. A text file with the names of its classes, a line each, does so for others.",
        unset=SAME,
        value="NAME,NAME",
    )
    teacher_precision: str = flag(
        "float32",
        "Number format of the teachers' maps. float32 leaves every teacher as it was built. bfloat16 takes a fraction "
        "of the time on processors and GPUs with instructions for it; the losses see float32. How far the answers "
        "agree is measured on held-out images before the first step.",
        one_of(TEACHER_PRECISIONS),
    )
    teacher_ahead: str = flag(
        "off",
        "Ask teachers about the next batch while the networks learn from this one, to the same bits: auto does so on "
        "one processor where the method reads the same of them in every epoch, on refuses where that cannot be, off "
        "never does. It takes the memory of three more batches with the answers to them.",
        one_of(TEACHER_AHEAD),
        changes_training=False,
    )
    teacher_views: int = flag(
        0,
        "Epochs after which the augmentation of each image begins again. A teacher is then asked so many times about "
        "each image in all, before the first step, and its answers are kept in the run's folder as float16.",
        MILLION,
        unset="another image in every epoch",
        value="COUNT",
    )
    taps: tuple[str, ...] = flag(
        (),
        "Layers of networks and teachers from .keras files that give a tap, in place of the one that is found: "
        "features:LAYER,stage1:LAYER for every file, FILE.features:LAYER for one, by its name without .keras.",
        unset="found",
        value="TAP:LAYER,TAP:LAYER",
    )
    trust_code: bool = flag(
        False,
        "Run the code in .keras files, that of Lambda layers. Give it for files whose maker you trust.",
        changes_training=False,
    )


@dataclass(frozen=True)
class DataFlags:
    """Data"""

    dataset: str = flag(
        "digits",
        f"Data set; --list names them. {TFDS_PATTERN} is any of TensorFlow Datasets.",
        value="NAME",
    )
    task: str = flag(
        "",
        f"Task that the labels are for: {' or '.join(TASKS)}. The data set says it by itself.",
        unset="the data set's",
        value="NAME",
    )
    data_dir: str = flag(
        "",
        "Folder of the data: one of TensorFlow Datasets, or that of your own images.",
        unset="TFDS_DATA_DIR, or the folder that TensorFlow Datasets uses by itself",
        value="FOLDER",
        changes_training=False,
    )
    download: bool = flag(
        True, "Let TensorFlow Datasets download a data set that is not there.", changes_training=False
    )
    image_size: int = flag(
        0,
        "Height and width, in pixels, that images of many sizes are brought to.",
        Number(0, 16_384),
        unset="the data set's own, where it has one",
    )
    reading: str = flag(
        "auto",
        "How images are brought to that size. resize squeezes the whole image. crop trains on random crops and scores "
        "the centre. resize_crop squeezes the whole image to size x 256/224, trains on a random part of that and "
        "scores the centre. auto is crop above 64 pixels, else resize. Images with boxes are squeezed.",
        one_of(READINGS),
    )
    max_pixels: int = flag(
        MAX_PIXELS,
        "Most pixels (height times width) of an image file. Files with more are left out, unread, and counted in a "
        "warning. 0 sets no limit.",
        COUNT,
    )
    normalization: str = flag(
        "",
        f"Mean and standard deviation that images are normalized by: {', '.join(NORMALIZATIONS)}.",
        unset="the data set's",
        value="NAME",
    )
    split: tuple[float, ...] | None = flag(
        None,
        "image_folder with classes and no train/ and test/: shares of training, validation and test, such as "
        "0.8,0.1,0.1, or of training and test, such as 0.8,0.2. The networks are scored on the validation images each "
        "epoch, and on the test images at the end.",
        Number(0, 1, above=True, below=True),
        unset="as the folders say",
        value="SHARE,SHARE",
    )
    split_seed: int | None = flag(
        None, "Seed of --split: runs of one split seed have the same test images.", SEED, unset="--seed"
    )
    train_examples: int = flag(
        0,
        "Number of training examples, balanced over the classes; of images with boxes a part with the same mix.",
        COUNT,
        unset="all of them",
    )
    unlabelled_dir: str = flag(
        "",
        "Folder of images without labels, at any depth, that join the training batches. On these images the networks "
        "learn from the teacher, or from each other; the labels' loss and the scores leave them out.",
        unset="none",
        value="FOLDER",
        changes_training=False,  # which images they are is told by their names, wherever they lie
    )
    unlabelled_rest: bool = flag(
        False,
        "The training examples that --train_examples leaves out join the batches without their labels, as the images "
        "of --unlabelled_dir do.",
    )
    unlabelled_batch_size: int = flag(
        0,
        "Unlabelled images beside the labelled ones of each step, over all replicas. An epoch stays that of the "
        "labelled data.",
        MILLION,
        unset="as many as labelled ones",
    )
    balance: str = flag(
        "none",
        "Classes of unequal size: none takes every training example once an epoch. sampling draws every class as often "
        "as any other; an epoch keeps its length. loss weighs an example's supervised loss by N / (K * n), for N "
        "examples of K classes and n of its own, so that the weights are 1 on average.",
        one_of(BALANCES),
    )
    validation_share: float = flag(
        0.0,
        "Share of the training data that is held out. The networks are scored on it each epoch, instead of on the "
        "test data.",
        SHARE_BELOW_ONE,
        unset="nothing is held out",
    )
    augmentation: tuple[str, ...] = flag(
        ("standard",),
        f"Transformations of the training images, comma-separated: {', '.join(AUGMENTATIONS)}; --list describes them. "
        "Resume is exact with all of them.",
        one_of(AUGMENTATIONS),
        value="NAME,NAME",
    )
    randaugment_operations: int = flag(2, "RandAugment: operations per image.", Number(1, 14))
    randaugment_magnitude: int = flag(9, "RandAugment: strength of the operations.", Number(0, 10))
    cutout_size: int = flag(
        0,
        "Cut-out: side of the square, in pixels.",
        Number(0, 16_384),
        unset="half of the image's shorter side",
    )
    cutmix_alpha: float = flag(1.0, "Cut-mix: its shares are drawn from Beta(alpha, alpha).", ALPHA)
    mixup_alpha: float = flag(
        1.0, "Mixup: its shares are drawn from Beta(alpha, alpha). Its paper has 1 for CIFAR, 0.2 for ImageNet.", ALPHA
    )
    mixing_probability: float = flag(1.0, "Cut-mix and mixup: probability that an image is mixed at all.", PROBABILITY)
    label_smoothing: float = flag(
        0.0,
        "Probability that training takes from the label and shares equally among the K - 1 other classes. Keras shares "
        "it among all K, and so takes less from the label at the same number.",
        SHARE_BELOW_ONE,
        unset="no smoothing",
    )
    label_noise: float = flag(
        0.0,
        "Share of the training labels that are replaced by wrong ones, once, before training. Examples that "
        "--validation_share holds out keep their labels, as the test data does.",
        SHARE_BELOW_ONE,
        unset="no noise",
    )
    label_noise_seed: int | None = flag(None, "Seed of the label noise.", SEED, unset="--seed")


@dataclass(frozen=True)
class TrainingFlags:
    """Training"""

    protocol: str = flag(
        "",
        f"A paper's optimizer, schedule, epochs and batch size: {', '.join(PROTOCOLS)}.",
        unset="the method's",
        value="NAME",
    )
    optimizer: str | None = flag(
        None,
        "Optimizer of the networks. One that is not the protocol's starts from PyTorch's defaults: for adam a learning "
        "rate of 0.001 without decay, for adamw 0.001 and a decay of 0.01.",
        one_of(KINDS),
        unset=PROTOCOLS_OWN,
    )
    epochs: int = flag(
        0,
        "Length of the run, in epochs. With --chain each network is trained for so many. Milestones of the protocol "
        "keep their share of it, or of what a transfer's preparation leaves to the training.",
        MILLION,
        unset=PROTOCOLS_OWN,
    )
    steps: int = flag(
        0,
        "Stop after so many steps, whatever the epochs. Schedules do not change.",
        Number(0, 1_000_000_000_000),
        unset="at the end of the last epoch",
        changes_training=False,
    )
    batch_size: int = flag(0, "Examples per step, over all replicas.", MILLION, unset=PROTOCOLS_OWN)
    learning_rate: float | None = flag(
        None, "Initial learning rate of the networks' optimizers.", FACTOR, unset=PROTOCOLS_OWN
    )
    momentum: float | None = flag(
        None, "Momentum of the networks' optimizers, for sgd.", SHARE_BELOW_ONE, unset=PROTOCOLS_OWN
    )
    nesterov: bool | None = flag(None, "Use Nesterov's momentum in the networks' optimizers.", unset=PROTOCOLS_OWN)
    weight_decay: float | None = flag(
        None,
        "Weight decay of the networks' optimizers: added to the gradient, and for adamw taken from the weight.",
        MILLION,
        unset=PROTOCOLS_OWN,
    )
    decay_on: str | None = flag(
        None,
        "Variables that decay: all, or matrices (more than one dimension).",
        one_of(DECAY_ON),
        unset=PROTOCOLS_OWN,
    )
    schedule: str | None = flag(
        None, "Learning rate over time: step, cosine or constant.", one_of(SCHEDULES), unset=PROTOCOLS_OWN
    )
    milestones: tuple[float, ...] | None = flag(
        None,
        "Epochs, from 0, at which a step schedule drops; comma-separated. Behind a transfer's preparation they count "
        "from its end.",
        Number(0, 1_000_000, above=True),
        unset=PROTOCOLS_OWN,
    )
    factor: float | None = flag(
        None, "A step schedule multiplies the rate by this number at each milestone.", FACTOR, unset=PROTOCOLS_OWN
    )
    warmup_epochs: float | None = flag(
        None, "Epochs of linear warm-up in a cosine schedule.", MILLION, unset=PROTOCOLS_OWN
    )
    clip_norm: float | None = flag(
        None,
        "Largest norm of an update's gradient: all its variables together, summed over the replicas, before decay. "
        "0 sets no limit.",
        Number(0, 1e30),
        unset=PROTOCOLS_OWN,
    )
    seed: int = flag(1, "Seed of weights, helpers, order of examples and augmentation.", SEED)


@dataclass(frozen=True)
class DeviceFlags:
    """Devices and speed"""

    precision: str = flag("float32", "Number format of the networks' layers.", one_of(PRECISIONS))
    products: str = flag(
        "float32",
        "Type that oneDNN may round the factors of float32 convolutions to, on a processor: bfloat16 for those with "
        "matrix instructions for it (AMX). Tensors and sums stay float32; see docs/precision.md.",
        one_of(PRODUCTS),
    )
    strategy: str = flag(
        "auto",
        "Devices that train: auto is every GPU of every host that TF_CONFIG names, one is the first device.",
        one_of(STRATEGIES),
        changes_training=False,
    )
    replicas: int = flag(
        0,
        "Number of replicas under --strategy=mirrored.",
        Number(0, 64),
        unset="one per GPU, or two without a GPU",
        changes_training=False,
    )
    xla: str = flag("auto", "Compile with XLA; auto does so on a GPU only.", one_of(("auto", "on", "off")))
    deterministic: bool = flag(
        False,
        "Have TensorFlow use deterministic algorithms only, so that a run on the same GPUs repeats to the last bit; "
        "this costs speed there. On one machine's CPU runs repeat without it.",
    )
    steps_per_execution: int = flag(
        1, "Training steps per call from Python.", Number(1, 100_000), changes_training=False
    )


# In the order of help.
GROUPS = (RunFlags, NetworkFlags, DataFlags, TrainingFlags, DeviceFlags)
