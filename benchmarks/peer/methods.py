"""The compared training steps in PyTorch, with no more passes and no more synchronisation than each needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch._functorch import config as compiler_config
from torch.nn import functional

from peer import networks

Recipe = Mapping[str, Mapping[str, Any]]


class Method:
    """Networks, called "network1", "network2", ..., that train side by side from labels alone.

    Args:
        names: of the networks.
        classes: of all of them.
        recipe: settings of the optimizers by group, as `dataclasses.asdict` gives tfdistill's.
        temperature: of the distributions that are compared.
    """

    taps: tuple[str, ...] = ()
    compiled = False

    def __init__(self, names: Sequence[str], classes: int, recipe: Recipe, temperature: float) -> None:
        self.recipe, self.temperature = recipe, temperature
        self.networks = [networks.build(name, classes, self.taps) for name in names]
        self.models: dict[str, nn.Module] = {f"network{n}": one for n, one in enumerate(self.networks, start=1)}
        self.add_helpers(classes)

    def add_helpers(self, classes: int) -> None:
        """Puts further models into `self.models`."""

    def to(self, device: torch.device, memory_format: torch.memory_format, dtype: torch.dtype) -> None:
        """Where and in what layout and precision to compute; once, before anything else."""
        self.precision = dtype
        for model in self.models.values():
            model.to(device, memory_format=memory_format).train()
        self.device = device
        self.calls: dict[int, Callable] = {id(model): model for model in self.models.values()}
        self.make_optimizers()

    def compile(self) -> None:
        """Has every model compiled at its first call."""
        self.compiled = True
        self.calls = {id(model): torch.compile(model, dynamic=False) for model in self.models.values()}

    def make_optimizers(self) -> None:
        self.optimizer = self.optimizer_of(self.parameters(self.models.values()))

    def optimizer_of(self, parameters: Iterable[nn.Parameter], group: str = "networks") -> torch.optim.Optimizer:
        settings, fused = self.recipe[group], True
        rate, decay = settings["learning_rate"], settings["weight_decay"]
        if settings["kind"] == "adam":
            betas, epsilon = tuple(settings["betas"]), settings["epsilon"]
            return torch.optim.Adam(parameters, rate, betas, epsilon, weight_decay=decay, fused=fused)
        momentum, nesterov = settings["momentum"], settings["nesterov"]
        return torch.optim.SGD(parameters, rate, momentum=momentum, nesterov=nesterov, weight_decay=decay, fused=fused)

    @staticmethod
    def parameters(models: Iterable[nn.Module]) -> list[nn.Parameter]:
        return [parameter for model in models for parameter in model.parameters()]

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision is torch.bfloat16)

    def forward(self, model: nn.Module, inputs: torch.Tensor) -> Any:
        with self.autocast():
            return self.calls[id(model)](inputs)

    def mutual(self, source: torch.Tensor, learner: torch.Tensor) -> torch.Tensor:
        """`T² · KL(source ‖ learner)`, the batch's mean; the source is a constant."""
        log_source = functional.log_softmax(source.detach() / self.temperature, dim=-1)
        log_learner = functional.log_softmax(learner / self.temperature, dim=-1)
        divergence = functional.kl_div(log_learner, log_source, reduction="batchmean", log_target=True)
        return self.temperature**2 * divergence

    @staticmethod
    def apply(optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> torch.Tensor:
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    def step(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """One training step; gives a loss, not yet waited for."""
        losses = [functional.cross_entropy(self.forward(one, images)["logits"], labels) for one in self.networks]
        return self.apply(self.optimizer, sum(losses))


class JointDML(Method):
    """Every network from the same forward pass."""

    def step(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        logits = [self.forward(one, images)["logits"] for one in self.networks]
        return self.apply(self.optimizer, sum(self.loss(labels, logits, k) for k in range(len(logits))))

    def loss(self, labels: torch.Tensor, logits: Sequence[torch.Tensor], learner: int) -> torch.Tensor:
        others = [one for k, one in enumerate(logits) if k != learner]
        mutual = sum(self.mutual(other, logits[learner]) for other in others) / len(others)
        return functional.cross_entropy(logits[learner], labels) + mutual


class AlternatingDML(JointDML):
    """Network after network; only one that has moved is called again, and then without a graph."""

    def make_optimizers(self) -> None:
        self.optimizers = [self.optimizer_of(one.parameters()) for one in self.networks]

    def step(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        logits = [self.forward(one, images)["logits"] for one in self.networks]
        for k, network in enumerate(self.networks):
            loss = self.apply(self.optimizers[k], self.loss(labels, logits, k))
            if k + 1 < len(logits):
                with torch.no_grad():
                    logits[k] = self.forward(network, images)["logits"]
        return loss


class AFD(JointDML):
    """In a cycle; three optimizers, their gradients all taken before any is applied."""

    taps = ("features",)

    def add_helpers(self, classes: int) -> None:
        self.transfers, self.discriminators = [], []
        for k, (own, source) in enumerate(zip(self.networks, self.sources(self.networks), strict=True), start=1):
            channels = 4 * source.width
            transfer = None if own.width == source.width else networks.Transfer(4 * own.width, channels)
            if transfer is not None:
                self.models[f"network{k}_transfer"] = transfer
            # Three stages take images of 32 pixels to maps of 8.
            discriminator = self.models[f"network{k}_discriminator"] = networks.Discriminator(channels, size=8)
            self.transfers.append(transfer)
            self.discriminators.append(discriminator)

    def compile(self) -> None:
        # The second backward pass over a graph needs what the first would give away.
        compiler_config.donated_buffer = False
        super().compile()

    @staticmethod
    def sources(items: Sequence[Any]) -> list[Any]:
        return [items[k - 1] for k in range(len(items))]

    def make_optimizers(self) -> None:
        named = [pair for one in self.networks for pair in one.named_parameters()]
        extractors = [parameter for name, parameter in named if not name.startswith("logits.")]
        transfers = self.parameters(one for one in self.transfers if one is not None)
        owned = {
            "networks": [parameter for _, parameter in named],
            "features": extractors + transfers,
            "discriminators": self.parameters(self.discriminators),
        }
        self.owned = [(self.optimizer_of(parameters, group), parameters) for group, parameters in owned.items()]

    def step(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        taps = [self.forward(one, images) for one in self.networks]
        logits = [one["logits"] for one in taps]
        supervised = sum(self.logit_loss(labels, *pair) for pair in zip(logits, self.sources(logits), strict=True))
        fakes, reals = zip(*self.judged([one["features"] for one in taps]), strict=True)
        generator = sum(torch.square(1 - fake).mean() for fake in fakes)
        discriminator = sum(
            (torch.square(1 - real) + torch.square(fake)).mean() for real, fake in zip(reals, fakes, strict=True)
        )
        gradients = []
        for loss, (_, parameters) in zip((supervised, generator, discriminator), self.owned, strict=True):
            gradients.append(torch.autograd.grad(loss, parameters, retain_graph=loss is not discriminator))
        for (optimizer, parameters), own in zip(self.owned, gradients, strict=True):
            for parameter, gradient in zip(parameters, own, strict=True):
                parameter.grad = gradient
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return supervised.detach()

    def logit_loss(self, labels: torch.Tensor, own: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(own, labels) + self.mutual(source, own)

    def judged(self, maps: Sequence[torch.Tensor]) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """What each discriminator says of its own network's map, and of the source's."""
        found = []
        for k, (own, source) in enumerate(zip(maps, self.sources(maps), strict=True)):
            real = self.forward(self.discriminators[k], source.detach())
            fake = own if self.transfers[k] is None else self.forward(self.transfers[k], own)
            found.append((self.forward(self.discriminators[k], fake), real))
        return found


class DCM(Method):
    """Every classifier of one network teaches every classifier of the others, at weights of 1."""

    taps = ("stage1", "stage2")

    def add_helpers(self, classes: int) -> None:
        self.heads: list[list[networks.Head]] = []
        for k, network in enumerate(self.networks, start=1):
            heads = {f"network{k}_{place}": networks.Head(network, place, classes) for place in networks.HEAD_TAPS}
            self.models |= heads
            self.heads.append(list(heads.values()))

    def step(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        logits = []
        for network, heads in zip(self.networks, self.heads, strict=True):
            taps = self.forward(network, images)
            logits.append(torch.stack([taps["logits"], *(self.forward(head, taps[head.tap]) for head in heads)]))
        logs = [functional.log_softmax(one / self.temperature, dim=-1) for one in logits]
        total = torch.zeros((), device=images.device)
        for k, own in enumerate(logits):
            classifiers = len(own)
            total = total + classifiers * functional.cross_entropy(own.flatten(0, 1), labels.repeat(classifiers))
            others = [one for j, one in enumerate(logs) if j != k]
            total = total + sum(self.dense(other, logs[k]) for other in others) / len(others)
        return self.apply(self.optimizer, total)

    def dense(self, log_source: torch.Tensor, log_learner: torch.Tensor) -> torch.Tensor:
        """`T² Σ_ij KL(source_i ‖ learner_j)`, the batch's mean, of `[classifiers, batch, classes]`."""
        log_source = log_source.detach()[:, None]
        divergences = log_source.exp() * (log_source - log_learner[None])
        return self.temperature**2 * divergences.sum() / log_learner.shape[1]


METHODS: dict[str, type[Method]] = {
    "supervised": Method,
    "dml": AlternatingDML,
    "dml_joint": JointDML,
    "afd": AFD,
    "dcm": DCM,
}
