"""Files with torchvision's and timm's names, against a forward pass in NumPy that knows nothing of Keras."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from tfdistill import networks
from tfdistill.networks.torch_names import from_torch
from tfdistill.networks.weights import assign_weights, read_weights

CLASSES = 5


class PyTorch:
    """Layers as PyTorch defines them, [batch, channels, height, width], whose random weights fill a state dict."""

    def __init__(self) -> None:
        self.generator = np.random.default_rng(0)
        self.state: dict[str, np.ndarray] = {}

    def conv(self, name, x, filters, size, strides=1, groups=1):
        inputs = x.shape[1] // groups
        deviation = (2 / (inputs * size * size)) ** 0.5
        weight = self._new(f"{name}.weight", self.generator.normal(0, deviation, (filters, inputs, size, size)))
        padding = size // 2
        x = np.pad(x, [(0, 0), (0, 0), (padding, padding), (padding, padding)])
        windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), (2, 3))[:, :, ::strides, ::strides]
        if groups == 1:
            return np.einsum("bchwij,ocij->bohw", windows, weight, optimize=True)
        assert groups == filters == x.shape[1]
        return np.einsum("bchwij,cij->bchw", windows, weight[:, 0], optimize=True)

    def norm(self, name, x):
        channels = x.shape[1]
        gamma = self._new(f"{name}.weight", self.generator.uniform(0.5, 1.0, channels))
        beta = self._new(f"{name}.bias", self.generator.normal(0, 0.1, channels))
        mean = self._new(f"{name}.running_mean", self.generator.normal(0, 0.1, channels))
        variance = self._new(f"{name}.running_var", self.generator.uniform(0.5, 1.5, channels))
        self.state[f"{name}.num_batches_tracked"] = np.array(7)
        scale = gamma / np.sqrt(variance + 1e-5)
        return x * scale[:, None, None] + (beta - mean * scale)[:, None, None]

    def linear(self, name, x, units):
        weight = self._new(f"{name}.weight", self.generator.normal(0, 0.1, (units, x.shape[1])))
        return x @ weight.T + self._new(f"{name}.bias", self.generator.normal(0, 0.1, units))

    def _new(self, name, values):
        assert name not in self.state
        self.state[name] = values.astype(np.float32)
        return self.state[name]


def relu(x):
    return np.maximum(x, 0)


def relu6(x):
    return np.clip(x, 0, 6)


def max_pool(x):
    x = np.pad(x, [(0, 0), (0, 0), (1, 1), (1, 1)], constant_values=-np.inf)
    return np.lib.stride_tricks.sliding_window_view(x, (3, 3), (2, 3))[:, :, ::2, ::2].max((-2, -1))


def resnet(layers, x, blocks, *, bottleneck):
    x = max_pool(relu(layers.norm("bn1", layers.conv("conv1", x, 64, 7, strides=2))))
    for stage, count in enumerate(blocks):
        width = 64 * 2**stage
        for block in range(count):
            name, strides = f"layer{stage + 1}.{block}", 2 if stage and not block else 1
            plan = [(width, 3, strides), (width, 3, 1)]
            if bottleneck:
                plan = [(width, 1, 1), (width, 3, strides), (4 * width, 1, 1)]
            residual = x
            for index, (filters, size, steps) in enumerate(plan, 1):
                residual = layers.conv(f"{name}.conv{index}", residual, filters, size, steps)
                residual = layers.norm(f"{name}.bn{index}", residual)
                residual = relu(residual) if index < len(plan) else residual
            if x.shape != residual.shape:
                x = layers.conv(f"{name}.downsample.0", x, residual.shape[1], 1, strides)
                x = layers.norm(f"{name}.downsample.1", x)
            x = relu(residual + x)
    return layers.linear("fc", x.mean((2, 3)), CLASSES)


TABLE_2 = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]


def mobilenet_v2(layers, x, name_of):
    """`name_of(part, group, block, position)` gives the names of a convolution and of its norm."""

    def convolve(x, key, *arguments, **settings):
        conv, norm = name_of(*key)
        return layers.norm(norm, layers.conv(conv, x, *arguments, **settings))

    x, position = relu6(convolve(x, ("stem", 0, 0, 0), 32, 3, strides=2)), 0
    for group, (expansion, filters, blocks, strides) in enumerate(TABLE_2):
        for block in range(blocks):
            position, steps = position + 1, strides if block == 0 else 1
            residual, key = x, (group, block, position)
            if expansion > 1:
                residual = relu6(convolve(residual, ("expand", *key), expansion * x.shape[1], 1))
            wide = residual.shape[1]
            residual = relu6(convolve(residual, ("depthwise", *key), wide, 3, strides=steps, groups=wide))
            residual = convolve(residual, ("project", *key), filters, 1)
            x = x + residual if x.shape == residual.shape else residual
    x = relu6(convolve(x, ("final", 0, 0, 18), 1280, 1))
    return layers.linear(name_of("classifier", 0, 0, 0), x.mean((2, 3)), CLASSES)


def torchvision(part, group, block, position):
    if part == "classifier":
        return "classifier.1"
    if part in ("stem", "final"):
        return f"features.{position}.0", f"features.{position}.1"
    index = ["expand", "depthwise", "project"].index(part) - (position == 1)
    prefix = f"features.{position}.conv"
    return (
        (f"{prefix}.{index}", f"{prefix}.{index + 1}")
        if part == "project"
        else (
            f"{prefix}.{index}.0",
            f"{prefix}.{index}.1",
        )
    )


def timm(part, group, block, position):
    fixed = {"classifier": "classifier", "stem": ("conv_stem", "bn1"), "final": ("conv_head", "bn2")}
    if part in fixed:
        return fixed[part]
    first = {"depthwise": ("conv_dw", "bn1"), "project": ("conv_pw", "bn2")}
    other = {"expand": ("conv_pw", "bn1"), "depthwise": ("conv_dw", "bn2"), "project": ("conv_pwl", "bn3")}
    return tuple(f"blocks.{group}.{block}.{name}" for name in (other if group else first)[part])


def forward(architecture, names=None):
    """Random images of 40 pixels (which no stride divides evenly to the end), logits in NumPy, and the state dict."""
    images = np.random.default_rng(1).normal(size=(2, 40, 40, 3)).astype(np.float32)
    layers, x = PyTorch(), images.transpose(0, 3, 1, 2)
    if architecture == "mobilenet_v2":
        logits = mobilenet_v2(layers, x, names)
    else:
        blocks = {"imagenet_resnet18": (2, 2, 2, 2), "imagenet_resnet50": (3, 4, 6, 3)}[architecture]
        logits = resnet(layers, x, blocks, bottleneck=architecture.endswith("50"))
    return images, logits, layers.state


@pytest.mark.parametrize(
    ("architecture", "names"),
    [("imagenet_resnet18", None), ("imagenet_resnet50", None), ("mobilenet_v2", torchvision), ("mobilenet_v2", timm)],
)
def test_a_file_with_pytorchs_names_gives_its_logits(architecture, names, tmp_path):
    images, expected, state = forward(architecture, names)
    save_file(state, tmp_path / "model.safetensors")
    network = networks.build(architecture, classes=CLASSES, image_shape=(40, 40, 3), seed=0)
    arrays = read_weights(tmp_path / "model.safetensors", network, architecture)
    assert assign_weights(network, arrays, source="the file") == []
    assert expected.std() > 0.1
    np.testing.assert_allclose(network(images)["logits"], expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


def test_another_variant_of_an_architecture_is_refused(tmp_path):
    # timm's "resnet18d" has three convolutions in its stem.
    _, _, state = forward("imagenet_resnet18")
    state["conv1.0.weight"] = state.pop("conv1.weight")
    network = networks.build("imagenet_resnet18", classes=CLASSES, image_shape=(32, 32, 3), seed=0)
    with pytest.raises(ValueError, match="it lacks 'stem/kernel'"):
        assign_weights(network, from_torch("imagenet_resnet18", state), source="the file")


def test_architectures_without_a_map_are_refused():
    with pytest.raises(
        ValueError, match=r"PyTorch's names, which are known for imagenet_resnet18, .* not for resnet8$"
    ):
        from_torch("resnet8", {"conv1.weight": np.zeros((16, 3, 3, 3), np.float32)})


def test_names_of_ours_pass():
    arrays = {"stem/kernel": np.ones((3, 3, 3, 16), np.float32)}
    assert from_torch("resnet8", arrays) == arrays
