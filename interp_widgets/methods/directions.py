"""Where directions come from: an atom, a mean difference, a probe, or numbers given by hand.

A direction is a vector and a sentence on how it was made. Steering adds `strength` times the vector as it stands, so the length of
the vector is the unit of strength:

- an atom: its decoder row d_i, so that one unit is one unit of the atom's activation;
- a mean difference: from the mean of one class to that of the other (Marks and Tegmark, arXiv:2310.06824; Rimsky et al.,
  arXiv:2312.06681), so that one unit leads from class to class;
- a probe: its weights, scaled so that one unit goes as far along them as the class means lie apart (the idea of Li et al.,
  arXiv:2306.03341, who scale by the spread of activations).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from ..errors import DictionaryError, SiteError, TextError
from ..progress import Progress, silent
from ..sae.dictionary import Dictionary
from ..session.session import Session, Text
from .probes import fit_probe
from .states import states


@dataclass(frozen=True, eq=False)
class Direction:
    """A vector [width], float32 on the CPU, with its name and how it was made."""

    vector: torch.Tensor
    name: str
    site: str | None = None
    """Where it was made; None for numbers given by hand."""
    origin: Mapping[str, Any] = field(default_factory=dict)
    """How it was made: `kind` (atom, mean_difference, probe, vector) and what that kind has to say, as JSON."""
    dictionary: Dictionary | None = None
    """The dictionary of an atom."""

    def __post_init__(self) -> None:
        if self.vector.dim() != 1 or not self.vector.numel():
            raise SiteError(f"A direction is one vector [width], but this one has shape {list(self.vector.shape)}.")
        if not torch.isfinite(self.vector).all() or not self.vector.any():
            raise SiteError(f"{self.name} is no direction: its vector is zero, or has entries that are not finite.")

    @property
    def atom(self) -> int | None:
        """The atom it is, if it is one."""
        return self.origin.get("atom")

    @property
    def norm(self) -> float:
        """Length of the vector: what one unit of strength adds."""
        return float(self.vector.norm())

    @property
    def made(self) -> str:
        """How it was made, in words."""
        kind, of = self.origin.get("kind"), self.origin
        if kind == "atom":
            return "its decoder row: one unit is one unit of the atom's activation"
        if kind == "mean_difference":
            halves = "" if of["halves"] is None else f"; two halves of the texts agree with cosine {of['halves']:.2f}"
            return f"mean of {of['positive']} texts less mean of {of['negative']}, {of['at']}{halves}"
        if kind == "probe":
            held = f"{of['accuracy']:.0%} right on {of['held_out']} texts held out"
            return f"logistic regression on {of['positive']} against {of['negative']} texts, {of['at']}; {held}"
        return "given as numbers"


def direction_of(given: Any) -> Direction:
    """A direction as it stands; a pair (dictionary, atom); or numbers: a tensor, an array or a list of them.

    Raises:
        SiteError: something else, or a vector that is zero or not finite. DictionaryError: an atom that does not exist.
    """
    if isinstance(given, Direction):
        return given
    if isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], Dictionary):
        return atom_direction(*given)
    try:
        vector = torch.as_tensor(given).detach().to("cpu", torch.float32)
    except (TypeError, ValueError, RuntimeError) as error:
        raise SiteError(
            f"A direction is a vector of numbers, (dictionary, atom), or what iw.methods.mean_difference returns, "
            f"not a {type(given).__name__}."
        ) from error
    return Direction(vector, "vector", origin={"kind": "vector"})


def atom_direction(sae: Dictionary, atom: int) -> Direction:
    """What an atom adds to the reconstruction per unit of its activation, at the site that the dictionary writes.

    Raises:
        DictionaryError: an atom that does not exist.
    """
    vector = sae.direction(atom).detach().to("cpu", torch.float32)
    if not vector.any():
        raise DictionaryError(
            f"Atom {atom} of {sae.name} has a decoder row of zeros, so there is nothing to steer with."
        )
    origin = {"kind": "atom", "sae": sae.name, "atom": int(atom)}
    return Direction(vector, f"{sae.name} #{atom}", sae.site_out, origin, sae)


def mean_difference(
    model: Session,
    positive: Sequence[Text],
    negative: Sequence[Text],
    *,
    site: str,
    position: int | None = -1,
    name: str = "mean difference",
    progress: Progress = silent,
) -> Direction:
    """Mean activation of `positive` texts less that of `negative` ones (Marks and Tegmark, arXiv:2310.06824).

    Args:
        model: a session.
        positive, negative: the texts of the two classes, one or more each.
        site: where to read, a site as wide as the residual stream, such as "resid_post.15".
        position: which token of each text, negative from the end, default the last; None: the mean over its tokens, without
            masked ones (see `masking`).
        name: what to call it.
        progress: see `progress.Progress`.

    Raises:
        TextError: no texts, a text that the model cannot read, or a position that a text does not have or that is masked.
        SiteError: no such site, or classes with equal means.
    """
    here = str(model.site(site))
    x = _classes(model, positive, negative, here, position, progress)
    halves = None
    if min(map(len, x)) >= 4:
        mixed = [one[torch.randperm(len(one), generator=torch.Generator().manual_seed(0))] for one in x]
        one, two = (mixed[0][half::2].mean(0) - mixed[1][half::2].mean(0) for half in (0, 1))
        halves = float(torch.nn.functional.cosine_similarity(one, two, dim=0))
    return Direction(
        x[0].mean(0) - x[1].mean(0),
        name,
        here,
        {
            "kind": "mean_difference", "positive": len(x[0]), "negative": len(x[1]), "at": _at(here, position),
            "halves": halves,
        },
    )  # fmt: skip


def probe_direction(
    model: Session,
    positive: Sequence[Text],
    negative: Sequence[Text],
    *,
    site: str,
    position: int | None = -1,
    penalty: float = 0.01,
    held_out: float = 0.25,
    seed: int = 0,
    name: str = "probe",
    progress: Progress = silent,
) -> Direction:
    """The weights of a logistic regression that tells two classes of texts apart, pointing to `positive`.

    The vector is w (w . (m+ - m-)) / |w|^2, with m the class means of the texts it was trained on: one unit goes as far along the
    weights as the means lie apart.

    Args:
        model, positive, negative, site, position, name, progress: as in `mean_difference`; at least two texts each.
        penalty: weight of |w|^2 / 2 beside the mean cross-entropy, for activations scaled to a mean square norm of 1.
        held_out: share of each class, at least one text, that is not trained on; `origin["accuracy"]` is measured there.
        seed: of the choice of those.

    Raises:
        TextError, SiteError: as `mean_difference`; TextError also for fewer than two texts in a class or no share to hold out.
    """
    here = str(model.site(site))
    if min(len(positive), len(negative)) < 2 or not 0 < held_out < 1:
        raise TextError(
            f"A probe needs two texts or more in each class, and a share between 0 and 1 to hold out; it got {len(positive)} and "
            f"{len(negative)} texts and {held_out}."
        )
    generator = torch.Generator().manual_seed(seed)
    train: list[torch.Tensor] = []
    test: list[torch.Tensor] = []
    for x in _classes(model, positive, negative, here, position, progress):
        count = min(len(x) - 1, max(1, round(held_out * len(x))))
        order = torch.randperm(len(x), generator=generator)
        test.append(x[order[:count]])
        train.append(x[order[count:]])
    weights, bias = fit_probe(torch.cat(train), _labels(train), penalty)
    right = ((torch.cat(test) @ weights + bias > 0) == _labels(test).bool()).float().mean()
    apart = train[0].mean(0) - train[1].mean(0)
    return Direction(
        weights * (weights @ apart) / weights.dot(weights).clamp(min=1e-30),
        name,
        here,
        {
            "kind": "probe", "positive": len(train[0]), "negative": len(train[1]), "at": _at(here, position),
            "penalty": penalty, "seed": seed, "accuracy": float(right), "held_out": sum(map(len, test)),
        },
    )  # fmt: skip


def _classes(
    model: Session,
    positive: Sequence[Text],
    negative: Sequence[Text],
    site: str,
    position: int | None,
    progress: Progress,
) -> tuple[torch.Tensor, torch.Tensor]:
    """One activation a text of each class, [texts, width], float32 on the CPU."""
    if any(isinstance(texts, str) or not len(texts) for texts in (positive, negative)):
        raise TextError("Each class is a list of one or more texts.")
    read = [model.encode(text) for text in (*positive, *negative)]
    for ids in read:
        if position is not None and not -len(ids) <= position < len(ids):
            raise TextError(f"Position {position} does not exist in a text of {len(ids)} tokens.")
    found = states(model, read, site, position, progress)
    if len(found) < len(read):
        raise TextError(
            f"In {_shown(model, read[len(found)])} there is nothing to read at {_at(site, position)}: attention sinks and start "
            "markers are left out. Use longer texts."
        )
    return found[: len(positive)], found[len(positive) :]


def _shown(model: Session, ids: list[int]) -> str:
    text = "".join(model.text_of(i) for i in ids)
    return repr(text if len(text) <= 60 else f"{text[:59]}…")


def _at(site: str, position: int | None) -> str:
    if position is None:
        return f"{site}, mean over tokens"
    return f"{site}, last token" if position == -1 else f"{site}, position {position}"


def _labels(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.cat([torch.ones(len(parts[0])), torch.zeros(len(parts[1]))])
