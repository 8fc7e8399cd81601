"""Sparse dictionaries: x is about a @ W_dec + b_dec with few entries of a above zero.

The latents differ only in the nonlinearity; the equations are SAELens v6's, h = (x - b_dec * subtract) @ W_enc + b_enc.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, final

import torch

from ..errors import DictionaryError


def check_weights(tensors: Mapping[str, torch.Tensor], name: str) -> None:
    """Raises DictionaryError unless all shapes follow from that of W_enc [d_in, d_sae], and all entries are finite."""
    if tensors["W_enc"].dim() != 2:
        raise DictionaryError(f"{name}: W_enc has shape {tuple(tensors['W_enc'].shape)}, but must be [d_in, d_sae].")
    d_in, width = tensors["W_enc"].shape
    special = {"W_enc": (d_in, width), "W_dec": (width, d_in), "b_dec": (d_in,)}
    for key, tensor in tensors.items():
        found, shape = tuple(tensor.shape), special.get(key, (width,))
        if found != shape:
            raise DictionaryError(f"{name}: {key} has shape {found}, but W_enc {(d_in, width)} needs {shape}.")
        if not torch.isfinite(tensor).all():
            raise DictionaryError(f"{name}: {key} has entries that are not finite, so no result would mean anything.")


@dataclass(frozen=True, eq=False)
class Dictionary(ABC):
    """A dictionary of `width` atoms for activations of size `d_in` at `site`. Abstract: use a subclass or `iw.load_sae`.

    Weights are float32. `encode` and `decode` take any leading axes.
    """

    name: str
    site: str
    W_enc: torch.Tensor
    """[d_in, d_sae]"""
    b_enc: torch.Tensor
    """[d_sae]"""
    W_dec: torch.Tensor
    """[d_sae, d_in]"""
    b_dec: torch.Tensor
    """[d_in]"""
    subtract: bool = True
    """Whether b_dec is subtracted from the input."""
    origin: Mapping[str, Any] = field(default_factory=dict)
    """Where it came from: format, file, sha256, and what its configuration says."""
    reading: tuple[str, ...] = ()
    """Lines of a script that make `sae`, these weights by their names, from the file; none if it was made in memory."""

    def __post_init__(self) -> None:
        check_weights({key: getattr(self, key) for key in ("W_enc", "b_enc", "W_dec", "b_dec")}, self.name)

    @property
    def d_in(self) -> int:
        """Size of the activations it reads."""
        return self.W_enc.shape[0]

    @property
    def width(self) -> int:
        """Number of atoms."""
        return self.W_enc.shape[1]

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Activations of the atoms: [..., d_in] -> [..., d_sae], not negative, mostly zero.

        Raises:
            DictionaryError: the last axis is not `d_in`.
        """
        if x.shape[-1] != self.d_in:
            raise DictionaryError(
                f"{self.name} reads activations of size {self.d_in} ({self.site}); these have size {x.shape[-1]}. "
                "Use a dictionary that was trained on this model and site."
            )
        x = x.to(self.W_enc)
        return self._activate((x - self.b_dec if self.subtract else x) @ self.W_enc + self.b_enc)

    def decode(self, a: torch.Tensor) -> torch.Tensor:
        """Reconstruction: [..., d_sae] -> [..., d_in]."""
        return a.to(self.W_dec) @ self.W_dec + self.b_dec

    def direction(self, atom: int) -> torch.Tensor:
        """What atom `atom` adds to the reconstruction per unit of activation: [d_in]."""
        self.check_atom(atom)
        return self.W_dec[atom]

    def sha256(self) -> str:
        """Of the weights in float32 and how they are used: equal for dictionaries that give equal numbers from equal weights."""
        parts = hashlib.sha256(f"{type(self).__name__} {self.subtract} {getattr(self, 'k', None)}".encode())
        for name, value in sorted(vars(self).items()):
            if isinstance(value, torch.Tensor):
                parts.update(f"{name} {tuple(value.shape)}".encode())
                parts.update(value.detach().float().cpu().contiguous().numpy().tobytes())
        return parts.hexdigest()

    def check_atom(self, atom: int) -> None:
        """Raises DictionaryError unless the atom exists."""
        if not 0 <= atom < self.width:
            raise DictionaryError(f"Atom {atom} does not exist: {self.name} has atoms 0 to {self.width - 1}.")

    @property
    @abstractmethod
    def formula(self) -> str:
        """The nonlinearity as an expression of `h` and the tensors `sae[...]` of the file, for scripts."""

    def to(self, device: torch.device | str) -> Dictionary:
        """The same dictionary on another device."""
        moved = {key: value.to(device) for key, value in vars(self).items() if isinstance(value, torch.Tensor)}
        return type(self)(**{**vars(self), **moved})

    @abstractmethod
    def _activate(self, h: torch.Tensor) -> torch.Tensor:
        """The nonlinearity, on pre-activations [..., d_sae]."""


@final
@dataclass(frozen=True, eq=False)
class ReLU(Dictionary):
    """a = max(h, 0): Cunningham et al. (arXiv:2309.08600), Bricken et al. 2023."""

    formula = "h.relu()"

    def _activate(self, h: torch.Tensor) -> torch.Tensor:
        return h.relu()


@final
@dataclass(frozen=True, eq=False)
class TopK(Dictionary):
    """a = max(h, 0) on the k largest h, 0 elsewhere: Gao et al. (arXiv:2406.04093)."""

    k: int = 32

    @property
    def formula(self) -> str:
        k = min(self.k, self.width)
        return f"torch.zeros_like(h).scatter(-1, h.topk({k}).indices, h.topk({k}).values.relu())"

    def _activate(self, h: torch.Tensor) -> torch.Tensor:
        values, indices = h.topk(min(self.k, self.width), dim=-1)
        return torch.zeros_like(h).scatter(-1, indices, values.relu())


@final
@dataclass(frozen=True, eq=False)
class GroupMax(Dictionary):
    """a = max(h, 0) on the largest h of each of k groups of neighbours, 0 elsewhere: sparsify's groupmax."""

    k: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width % self.k:
            raise DictionaryError(
                f"{self.name}: {self.width} atoms cannot be split into k = {self.k} groups of one size."
            )

    @property
    def formula(self) -> str:
        groups = f"(g := h.relu().unflatten(-1, ({self.k}, {self.width // self.k})))"
        return f"({groups} * torch.zeros_like(g).scatter(-1, g.argmax(-1, keepdim=True), 1)).flatten(-2)"

    def _activate(self, h: torch.Tensor) -> torch.Tensor:
        groups = h.relu().unflatten(-1, (self.k, self.width // self.k))
        values, indices = groups.max(dim=-1, keepdim=True)
        return torch.zeros_like(groups).scatter(-1, indices, values).flatten(-2)


@final
@dataclass(frozen=True, eq=False)
class JumpReLU(Dictionary):
    """a = h where h > threshold (and > 0), 0 elsewhere: Rajamanoharan et al. (arXiv:2407.14435)."""

    threshold: torch.Tensor = field(default_factory=lambda: torch.zeros(1))
    """[d_sae]"""

    formula = 'h.relu() * (h > sae["threshold"])'

    def __post_init__(self) -> None:
        super().__post_init__()
        threshold = self.threshold.expand(self.width) if self.threshold.shape == (1,) else self.threshold
        check_weights({"W_enc": self.W_enc, "threshold": threshold}, self.name)

    def _activate(self, h: torch.Tensor) -> torch.Tensor:
        return h.relu() * (h > self.threshold)
