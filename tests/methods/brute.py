"""Patched runs the plain way: a full forward pass each, edited in place; `tests/session` shows that such an edit is a hook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch


def logits(model, ids: Sequence[int], puts: Mapping[str, Mapping[int, torch.Tensor]] | None = None) -> torch.Tensor:
    """Logits [vocabulary] at the last position, float64; `puts`: per site and position what is there instead."""

    def edit(values: Mapping[int, torch.Tensor]):
        def apply(x: torch.Tensor) -> torch.Tensor:
            x = x.clone()
            for position, value in values.items():
                x[:, position] = value
            return x

        return apply

    edits = {site: edit(values) for site, values in (puts or {}).items()}
    return model.run([list(ids)], ["logits"], edit=edits)["logits"][0, -1].double()


def difference(model, ids, puts=None, answer: int = 11, foil: int = 12) -> float:
    found = logits(model, ids, puts)
    return float(found[answer] - found[foil])


def activations(model, ids: Sequence[int], site: str) -> torch.Tensor:
    """[tokens, ...]"""
    return model.read(list(ids), [site])[site]
