"""Sparse dictionaries: x is about a @ W_dec + b_dec with few entries of a above zero.

The latents differ only in the nonlinearity; the equations are SAELens v6's, h = (x - b_dec * subtract) @ W_enc + b_enc. A
transcoder (Dunefsky et al., arXiv:2406.11944) reads one site and writes another, y; one with a skip connection (Paulo et al.,
arXiv:2501.18823) adds x @ W_skip. Where a dictionary norms its inputs, x is the normed one and the reconstruction is scaled back.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, final

import torch

from ..errors import DictionaryError

Norm = Literal["", "center", "layer_norm", "unit_rms"]


def check_weights(tensors: Mapping[str, torch.Tensor], name: str, d_out: int | None = None) -> None:
    """Raises DictionaryError unless all shapes follow from that of W_enc [d_in, d_sae], and all entries are finite.

    `d_out`: the size that is written; None: as `d_in`.
    """
    if tensors["W_enc"].dim() != 2:
        raise DictionaryError(f"{name}: W_enc has shape {tuple(tensors['W_enc'].shape)}, but must be [d_in, d_sae].")
    d_in, width = tensors["W_enc"].shape
    d_out = d_in if d_out is None else d_out
    special = {"W_enc": (d_in, width), "W_dec": (width, d_out), "b_dec": (d_out,), "W_skip": (d_in, d_out)}
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
    """What it reads."""
    W_enc: torch.Tensor
    """[d_in, d_sae]"""
    b_enc: torch.Tensor
    """[d_sae]"""
    W_dec: torch.Tensor
    """[d_sae, d_out]"""
    b_dec: torch.Tensor
    """[d_out]"""
    subtract: bool = True
    """Whether b_dec is subtracted from the input; never by a transcoder."""
    origin: Mapping[str, Any] = field(default_factory=dict)
    """Where it came from: format, file, sha256, and what its configuration says."""
    reading: tuple[str, ...] = ()
    """Lines of a script that make `sae`, these weights by their names, from the file; none if it was made in memory."""
    writes: str = ""
    """The other site that a transcoder writes; "" for a dictionary that reconstructs what it reads."""
    W_skip: torch.Tensor | None = None
    """[d_in, d_out]: what x itself adds to the reconstruction; None: nothing."""
    norm: Norm = ""
    """How each input is normed first: "center" to mean 0, "layer_norm" to mean 0 and standard deviation 1, "unit_rms" to a root
    mean square of 1. It is undone after decoding, but not by a transcoder, which writes another activation."""

    def __post_init__(self) -> None:
        tensors = {key: getattr(self, key) for key in ("W_enc", "b_enc", "W_dec", "b_dec")}
        if self.W_skip is not None:
            tensors["W_skip"] = self.W_skip
        check_weights(tensors, self.name, self.W_dec.shape[-1] if self.transcodes else None)
        if self.transcodes and self.subtract:
            raise DictionaryError(
                f"{self.name} writes {self.site_out}, so its bias cannot be subtracted from {self.site}."
            )

    @property
    def d_in(self) -> int:
        """Size of the activations it reads."""
        return self.W_enc.shape[0]

    @property
    def d_out(self) -> int:
        """Size of the activations it writes."""
        return self.W_dec.shape[1]

    @property
    def width(self) -> int:
        """Number of atoms."""
        return self.W_enc.shape[1]

    @property
    def site_out(self) -> str:
        """What it reconstructs: `site`, but for a transcoder."""
        return self.writes or self.site

    @property
    def transcodes(self) -> bool:
        """Whether it writes another site than it reads."""
        return self.site_out != self.site

    @property
    def needs_input(self) -> bool:
        """Whether `decode` needs what was encoded."""
        return self.W_skip is not None or self._undoes

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Activations of the atoms: [..., d_in] -> [..., d_sae], not negative, mostly zero.

        Of a dictionary of all heads of a layer, x may be [..., heads, head width].

        Raises:
            DictionaryError: x does not have the size `d_in`.
        """
        x = self.flat(x)
        if self.norm == "unit_rms":
            x = x / self._size(x).clamp(min=1e-30)
        elif self.norm:
            x = (x - x.mean(-1, keepdim=True)) / (self._size(x) + (1e-5 if self.norm == "layer_norm" else 0))
        return self._activate((x - self.b_dec if self.subtract else x) @ self.W_enc + self.b_enc)

    def decode(self, a: torch.Tensor, x: torch.Tensor | None = None) -> torch.Tensor:
        """Reconstruction: [..., d_sae] -> [..., d_out]; in the shape of x, if it is given and has heads.

        Args:
            a: activations of the atoms.
            x: what was encoded. Needed by a dictionary with a skip connection, and by one that norms its inputs.

        Raises:
            DictionaryError: x is needed and was not given.
        """
        y = a.to(self.W_dec) @ self.W_dec
        if x is None:
            if self.needs_input:
                why = "norms each input and undoes that" if self._undoes else "has a skip connection"
                raise DictionaryError(f"{self.name} {why}, so decode needs what was encoded, too: decode(a, x).")
            return y + self.b_dec
        flat = self.flat(x)
        y = y * self.scale(flat) + self.bias(flat) + self.skip(flat)
        return y if self.transcodes or x.shape[-1] == self.d_in else y.unflatten(-1, x.shape[-2:])

    def scale(self, x: torch.Tensor) -> torch.Tensor:
        """What directions are multiplied with where the input is x [..., d_in]: [..., 1]; 1 if no norm is undone."""
        return self._size(x) if self._undoes else x.new_ones(*x.shape[:-1], 1)

    def bias(self, x: torch.Tensor) -> torch.Tensor:
        """What the reconstruction of x [..., d_in] has without any atom or skip connection: [..., d_out]."""
        centred = self._undoes and self.norm != "unit_rms"
        return self.b_dec * self.scale(x) + (x.mean(-1, keepdim=True) if centred else 0)

    def skip(self, x: torch.Tensor) -> torch.Tensor:
        """What the skip connection adds: [..., d_in] -> [..., d_out]; zeros without one."""
        return x.new_zeros(*x.shape[:-1], self.d_out) if self.W_skip is None else x @ self.W_skip

    def flat(self, x: torch.Tensor) -> torch.Tensor:
        """An input as [..., d_in], in the dictionary's precision and on its device.

        Raises:
            DictionaryError: it has another size.
        """
        heads = self.site.startswith("head_out.") and x.dim() > 1 and x.shape[-1] * x.shape[-2] == self.d_in
        if x.shape[-1] != self.d_in and not heads:
            raise DictionaryError(
                f"{self.name} reads activations of size {self.d_in} ({self.site}); these have size {x.shape[-1]}. "
                "Use a dictionary that was trained on this model and site."
            )
        return (x if x.shape[-1] == self.d_in else x.flatten(-2)).to(self.W_enc)

    @property
    def _undoes(self) -> bool:
        """Whether a reconstruction is scaled back."""
        return bool(self.norm) and not self.transcodes

    def _size(self, x: torch.Tensor) -> torch.Tensor:
        """What the norm divides by, [..., 1]."""
        if self.norm == "center":
            return x.new_ones(*x.shape[:-1], 1)
        return x.std(-1, keepdim=True) if self.norm == "layer_norm" else x.norm(dim=-1, keepdim=True) / self.d_in**0.5

    def direction(self, atom: int) -> torch.Tensor:
        """What atom `atom` adds to the reconstruction per unit of activation, before any norm is undone: [d_out]."""
        self.check_atom(atom)
        return self.W_dec[atom]

    def sha256(self) -> str:
        """Of the weights in float32 and how they are used: equal for dictionaries that give equal numbers from equal weights."""
        parts = hashlib.sha256(f"{type(self).__name__} {self.subtract} {self.norm} {getattr(self, 'k', None)}".encode())
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

    @property
    def formula_in(self) -> str:
        """What W_enc is multiplied with, as an expression of `x` and `sae[...]`."""
        normed = {
            "": "x",
            "center": "x - x.mean(-1, keepdim=True)",
            "layer_norm": "(x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1e-5)",
            "unit_rms": "x / x.norm(dim=-1, keepdim=True).clamp(min=1e-30) * x.shape[-1] ** 0.5",
        }[self.norm]
        return f'{normed} - sae["b_dec"]' if self.subtract else normed

    @property
    def formula_scale(self) -> str:
        """What directions are multiplied with, as an expression of one `x`; "" where nothing is."""
        scales = {
            "layer_norm": "x.std(-1, keepdim=True)",
            "unit_rms": "x.norm(dim=-1, keepdim=True) / x.shape[-1] ** 0.5",
        }
        return scales.get(self.norm, "") if self._undoes else ""

    def to(self, device: torch.device | str) -> Dictionary:
        """The same dictionary on another device."""
        moved = {key: value.to(device) for key, value in vars(self).items() if isinstance(value, torch.Tensor)}
        return type(self)(**{**vars(self), **moved})

    @abstractmethod
    def _activate(self, h: torch.Tensor) -> torch.Tensor:
        """The nonlinearity, on pre-activations [..., d_sae]."""


@final
@dataclass(frozen=True, eq=False)
class Linear(Dictionary):
    """a = h, of either sign: coordinates along directions, which nobody made sparse."""

    formula = "h"

    def _activate(self, h: torch.Tensor) -> torch.Tensor:
        return h


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
