"""The page docs/networks.md, and the parameters of every network it lists."""

import importlib.util
import pathlib
import sys

import keras
import pytest

from tfdistill import networks

REPOSITORY = pathlib.Path(__file__).parents[2]

# Trainable parameters for 10, 100 and 1000 classes, counted by hand from the papers' architectures.
COUNTS = {
    "resnet8": (78_042, 83_892, 142_392),
    "resnet20": (272_474, 278_324, 336_824),
    "resnet32": (466_906, 472_756, 531_256),
    "resnet56": (855_770, 861_620, 920_120),
    "resnet110": (1_730_714, 1_736_564, 1_795_064),
    "resnet32_a": (464_154, 470_004, 528_504),
    "resnet56_a": (853_018, 858_868, 917_368),
    "resnet110_a": (1_727_962, 1_733_812, 1_792_312),
    "resnet32_b": (466_906, 472_756, 531_256),
    "resnet110_b": (1_730_714, 1_736_564, 1_795_064),
    "resnet110_bottleneck": (1_147_738, 1_170_868, 1_402_168),
    "resnet56_one": (869_530, 892_660, 1_123_960),
    "resnet110_one": (1_704_154, 1_727_284, 1_958_584),
    "resnet164": (1_703_258, 1_726_388, 1_957_688),
    "wide_resnet_16_2": (691_674, 703_284, 819_384),
    "wide_resnet_28_4": (5_849_050, 5_872_180, 6_103_480),
    "wide_resnet_28_10": (36_479_194, 36_536_884, 37_113_784),
    "wide_resnet_28_10_dropout": (36_479_194, 36_536_884, 37_113_784),
    "wide_resnet_40_2": (2_243_546, 2_255_156, 2_371_256),
    "wide_resnet_46_4": (10_499_290, 10_522_420, 10_753_720),
    "densenet_40_12": (1_019_722, 1_060_132, 1_464_232),
    "vgg13": (28_328_522, 28_697_252, 32_384_552),
    "vgg13_bn": (9_416_010, 9_462_180, 9_923_880),
    "mobilenet": (3_217_226, 3_309_476, 4_231_976),
    "mobilenet_dcm": (3_217_226, 3_309_476, 4_231_976),
    "imagenet_resnet18": (11_181_642, 11_227_812, 11_689_512),
    "imagenet_resnet34": (21_289_802, 21_335_972, 21_797_672),
    "imagenet_resnet50": (23_528_522, 23_712_932, 25_557_032),
    "imagenet_resnet101": (42_520_650, 42_705_060, 44_549_160),
    "imagenet_resnet152": (58_164_298, 58_348_708, 60_192_808),
    "mobilenet_v2": (2_236_682, 2_351_972, 3_504_872),
}


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("benchmarks_networks", REPOSITORY / "benchmarks" / "networks.py")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def rows(benchmark):
    # A row is read from shapes alone, so nobody draws the two hundred million first weights.
    with keras.StatelessScope(initialize_variables=False):
        return {name: benchmark.describe(name) for name in benchmark.names()}


def test_the_page_is_up_to_date(benchmark, rows):
    page = benchmark.PAGE.read_text(encoding="utf-8")
    times = benchmark.times_in(page)
    assert set(times) == set(rows)
    assert all(cell.endswith(" ms") for cell in times.values())
    assert benchmark.with_table(page, benchmark.table(rows.values(), times)) == page


@pytest.mark.parametrize("name", COUNTS)
def test_parameters(rows, name):
    assert tuple(rows[name].parameters.values()) == COUNTS[name]


def test_every_network_but_the_unpublished_is_counted(rows):
    assert set(rows) - set(COUNTS) == {"resnet110_preactivation"}


def test_parameters_are_the_same_when_built_for_so_many_classes(rows):
    for classes in (10, 1000):
        network = networks.build("resnet8", classes=classes)
        count = sum(variable.shape.num_elements() for variable in network.trainable_variables)
        assert count == rows["resnet8"].parameters[classes]


def test_parameters_round_to_the_published(benchmark, rows):
    assert set(benchmark.PUBLISHED) <= set(rows)
    for name, (figure, classes, _) in benchmark.PUBLISHED.items():
        count = rows[name].parameters[classes]
        millions, rounded, _ = figure.partition(" M")
        expected = f"{count / 1e6:.{len(millions.partition('.')[2])}f}" if rounded else f"{count:,}"
        assert millions == expected, name


def test_multiply_adds_of_a_network_counted_by_hand(benchmark):
    images = keras.Input((8, 6, 3))
    x = keras.layers.Conv2D(4, 3, strides=2, padding="same")(images)
    x = keras.layers.DepthwiseConv2D(3, padding="same")(x)
    x = keras.layers.Conv2D(6, 1, groups=2, padding="same")(x)
    network = keras.Model(images, keras.layers.Dense(5)(keras.layers.GlobalAveragePooling2D()(x)))
    assert benchmark.multiply_adds(network) == 4 * 3 * (3 * 3 * 3 * 4 + 3 * 3 * 4 + 2 * 6) + 6 * 5


@pytest.mark.parametrize(
    ("name", "millions"),
    [("imagenet_resnet18", 1814), ("imagenet_resnet50", 4089), ("imagenet_resnet152", 11514), ("mobilenet_v2", 301)],
)
def test_multiply_adds_of_known_networks(rows, name, millions):
    assert round(rows[name].multiply_adds / 1e6) == millions


def test_preactivations_have_the_shapes_of_their_stages(rows):
    for row in rows.values():
        stages = [tap for tap in row.taps if tap.startswith("stage") and not tap.endswith("_preactivation")]
        assert len(stages) == (
            4 if "imagenet" in row.name else 5 if row.name.startswith(("vgg", "mobilenet_v2")) else 3
        )
        for stage in stages:
            assert row.taps[f"{stage}_preactivation"] == row.taps[stage]
        assert row.taps["features"][-1:] == row.taps["embedding"]
