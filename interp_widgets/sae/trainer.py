"""The weights of a dictionary while it is trained: one step, a measurement, and the way back to raw units.

Training sees x' = (x - mean) * scale with a variance of 1 a coordinate on average, so that one learning rate suits any site.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch.nn.functional import normalize

from ..session.masking import OUTLIER
from . import objectives
from .objectives import Outcome

ACTIVATIONS = ("topk", "jumprelu")
WARM_UP = 0.02
"""Share of the steps over which the learning rate rises."""
DECAY = 0.3
"""Share of the steps, at the end, over which it falls to nothing."""
PRESSURE = 0.2
"""Share of the steps over which JumpReLU's penalty rises."""
DEAD_AFTER = 200_000
"""Activations without being active that make an atom dead, or a tenth of all that are drawn if that is less."""
BANDWIDTH = 0.1
"""Width of JumpReLU's kernel, as a share of the threshold that the atoms begin with."""
THRESHOLD_RATE = 30.0
"""The thresholds' learning rate, in thresholds that the atoms begin with, over the learning rate of all else."""
FREE = 2
"""JumpReLU begins with this many times the wanted number of active atoms."""


@dataclass(frozen=True)
class Settings:
    """What the weights and their training depend on."""

    width: int
    k: int
    activation: str
    learning_rate: float
    batch: int
    seed: int
    low: bool
    """Whether products are made in bfloat16."""
    outlier: float = OUTLIER
    """How many times further from the mean than the median activation one may lie to be trained on; infinite: any."""


class Metrics(NamedTuple):
    """A dictionary on activations that it was not trained on."""

    explained_variance: float
    """1 - squared error / squared distance from their mean"""
    active: float
    """Mean number of active atoms on one activation."""
    silent: float
    """Share of atoms that are active on none of them."""


_NUMBERS = ("mean", "scale", "furthest", "bandwidth", "silent_for")
"""Tensors of a trainer that are neither weights nor the optimiser's."""


class Trainer:
    """Weights, their optimiser, and how long each atom has been silent."""

    def __init__(self, settings: Settings, first: torch.Tensor, device: torch.device | str) -> None:
        """`first` [n, d_in]: raw activations that mean, scale and the first directions are taken from."""
        self.settings = settings
        first = first.to(device, torch.float32)
        distance = (first - first.median(0).values).norm(dim=1)
        first = first[distance <= settings.outlier * distance.median()]
        self.mean = first.mean(0)
        self.scale = (first - self.mean).square().mean().clamp(min=1e-30).rsqrt()
        self.furthest = settings.outlier * self.scaled(first).norm(dim=1).median()
        generator = torch.Generator().manual_seed(settings.seed)
        self.weights = self._start(self.usable(first), generator)
        self.silent_for = torch.zeros(settings.width, dtype=torch.long, device=device)
        self.steps = 0
        groups = [{"params": [tensor], "name": name} for name, tensor in self.weights.items()]
        self.optimiser = torch.optim.Adam(groups, lr=settings.learning_rate, eps=1e-10, fused=True)

    def _start(self, x: torch.Tensor, generator: torch.Generator) -> objectives.Weights:
        """Directions half data, half noise; an encoder that is their transpose, a threshold that lets `FREE` times k through."""
        width, d_in = self.settings.width, x.shape[1]
        pick = torch.randint(0, len(x), (width,), generator=generator)
        noise = torch.randn(width, d_in, generator=generator).to(x)
        decoder = normalize(normalize(x[pick.to(x.device)], dim=1) + normalize(noise, dim=1), dim=1)
        zeros = torch.zeros(width, device=x.device)
        self.bandwidth = zeros.sum()
        weights = {
            "encoder": decoder.clone(),
            "bias": zeros.clone(),
            "decoder": decoder,
            "center": torch.zeros(d_in).to(x),
        }
        if self.settings.activation == "jumprelu":
            before = x[: 1_000_000 // width + 1] @ decoder.T
            on = min(before.numel(), FREE * self.settings.k * len(before))
            threshold = before.flatten().topk(on, sorted=False).values.min().clamp(min=1e-3)
            self.bandwidth = BANDWIDTH * threshold
            weights["threshold"] = zeros + threshold
        self._shrink(weights, x[:4096])
        return {name: tensor.requires_grad_() for name, tensor in weights.items()}

    def _shrink(self, weights: objectives.Weights, x: torch.Tensor) -> None:
        """One factor on activations, so that the first reconstructions, sums of k overlapping directions, fit best."""
        values = x @ weights["encoder"].T
        on = (
            values > weights["threshold"]
            if "threshold" in weights
            else values >= values.topk(self.settings.k).values[:, -1:]
        )
        found = (values.relu() * on) @ weights["decoder"]
        factor = ((found * x).sum() / found.square().sum().clamp(min=1e-30)).clamp(0.01, 1)
        for name in ("encoder", "threshold"):
            if name in weights:
                weights[name] *= factor
        self.bandwidth *= factor

    def scaled(self, x: torch.Tensor) -> torch.Tensor:
        """x' of raw activations, on the weights' device."""
        return (x.to(self.mean) - self.mean) * self.scale

    def usable(self, x: torch.Tensor) -> torch.Tensor:
        """Scaled activations of raw ones, without those that lie `outlier` times further from the mean than the first ones' median.

        A short window has no median of its own, so a sink can come through it; one alone would undo many steps.
        """
        scaled = self.scaled(x)
        return scaled[scaled.norm(dim=1) <= self.furthest]

    def on_device(self, x: torch.Tensor) -> torch.Tensor:
        """Scaled activations as training takes them."""
        return x.to(self.mean)

    def step(self, x: torch.Tensor, total: int) -> tuple[float, float]:
        """One of `total` steps, on scaled activations [batch, d_in]: (share of variance left over, learning rate)."""
        settings, weights = self.settings, self.weights
        rate = settings.learning_rate * schedule(self.steps, total)
        for group in self.optimiser.param_groups:
            # A threshold has a size of its own, and Adam moves everything by the same amount: its rate is in shares of it.
            size = self.bandwidth.item() / BANDWIDTH * THRESHOLD_RATE if group["name"] == "threshold" else 1
            group["lr"] = rate * size
        outcome = self._objective(total)(weights, x, self._dead(total))
        self.optimiser.zero_grad()
        outcome.loss.backward()
        with torch.no_grad():
            decoder = weights["decoder"]
            # Directions keep norm 1: what would only change their length is taken out of the gradient.
            decoder.grad -= (decoder.grad * decoder).sum(1, keepdim=True) * decoder
            torch.nn.utils.clip_grad_norm_(weights.values(), 1.0)
            self.optimiser.step()
            decoder.copy_(normalize(decoder, dim=1))
            if "threshold" in weights:
                weights["threshold"].clamp_(min=0)
            self.silent_for += len(x)
            self.silent_for[outcome.fired] = 0
        self.steps += 1
        return outcome.left_over.item(), rate

    def _objective(self, total: int) -> Any:
        settings = self.settings
        if settings.activation == "topk":
            return partial(objectives.topk, k=settings.k, low=settings.low)
        pressure = min(1.0, self.steps / max(1.0, PRESSURE * total))
        return partial(
            objectives.jumprelu,
            k=settings.k,
            bandwidth=self.bandwidth.item(),
            pressure=pressure,
            low=settings.low,
        )

    def _dead(self, total: int) -> torch.Tensor:
        return (self.silent_for > min(DEAD_AFTER, total * self.settings.batch // 10)).nonzero().flatten()

    def dead_share(self, total: int) -> float:
        """Share of the atoms that count as dead now (see `DEAD_AFTER`)."""
        return len(self._dead(total)) / self.settings.width

    @torch.no_grad()
    def measure(self, x: torch.Tensor) -> Metrics:
        """On scaled activations [n, d_in], in pieces; products in the precision of training."""
        error, active = 0.0, 0.0
        fired = torch.zeros(self.settings.width, dtype=torch.bool, device=self.mean.device)
        nobody = torch.zeros(0, dtype=torch.long, device=self.mean.device)
        for piece in x.split(1024):
            piece = piece.to(self.mean)
            outcome: Outcome = self._objective(1)(self.weights, piece, nobody)
            error += outcome.left_over.item() * piece.numel()
            active += outcome.active.item() * len(piece)
            fired |= outcome.fired
        variance = (x.double() - x.double().mean(0)).square().sum().item()
        return Metrics(1 - error / variance, active / len(x), 1 - fired.float().mean().item())

    @torch.no_grad()
    def folded(self) -> dict[str, torch.Tensor]:
        """W_enc, b_enc, W_dec, b_dec and, for JumpReLU, threshold: the same dictionary on raw activations, float32, on the CPU.

        Directions have norm 1, so activations are in the site's own units.
        """
        weights, scale = self.weights, self.scale
        found = {
            "W_enc": weights["encoder"].T,
            "b_enc": weights["bias"] / scale,
            "W_dec": weights["decoder"],
            "b_dec": weights["center"] / scale + self.mean,
        }
        if "threshold" in weights:
            found["threshold"] = weights["threshold"] / scale
        return {name: tensor.detach().float().cpu().contiguous().clone() for name, tensor in found.items()}

    def state(self) -> dict[str, torch.Tensor]:
        """Everything that the next step depends on, by name."""
        tensors = {name: getattr(self, name) for name in _NUMBERS}
        tensors |= {f"weights.{name}": tensor.detach() for name, tensor in self.weights.items()}
        for name, tensor in self.weights.items():
            for key, value in self.optimiser.state[tensor].items():
                tensors[f"adam.{name}.{key}"] = value
        return tensors

    def restore(self, tensors: dict[str, torch.Tensor], steps: int) -> None:
        """The inverse of `state`."""
        self.steps = steps
        for name in _NUMBERS:
            getattr(self, name).copy_(tensors[name])
        for name, tensor in self.weights.items():
            with torch.no_grad():
                tensor.copy_(tensors[f"weights.{name}"])
            prefix = f"adam.{name}."
            found = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
            self.optimiser.state[tensor] = {key: value.to(tensor.device) for key, value in found.items()}


def schedule(step: int, total: int) -> float:
    """The learning rate as a share of its largest: rises over `WARM_UP`, is level, falls to nothing over `DECAY`."""
    rising = (step + 1) / max(1.0, WARM_UP * total)
    falling = (total - step) / max(1.0, DECAY * total)
    return max(0.0, min(1.0, rising, falling))


def fast_bfloat16(device: torch.device | str) -> bool:
    """Whether products in bfloat16 are made in hardware here."""
    if torch.device(device).type == "cuda":
        return torch.cuda.is_bf16_supported()
    if torch.device(device).type != "cpu":
        return False
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(check() for name in names if (check := getattr(torch.cpu, name, None)))
