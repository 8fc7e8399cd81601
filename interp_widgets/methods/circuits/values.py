"""The nodes of a site at some tokens: what each is worth in the clean and in the corrupt prompts, and what a change of it does.

With A = a * (scale of a norm that is undone), x = b + A @ W_dec + e. Between clean x and corrupt y

    x - y = (A - B) @ W_dec + (what the atoms do not give)

and that last vector is the change of the error, so that nothing of the difference is lost: where a dictionary norms its inputs it
holds the change of b as well. Without corrupt prompts every node goes to 0 and x to b.

Few atoms are on at a token, so their rows of W_dec alone are taken; where many are, all in one product.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ...sae.dictionary import Dictionary

DENSE = 1 / 16
"""From this share of atoms that are on, one product with all of W_dec is faster than to gather rows."""


@dataclass(frozen=True, eq=False)
class SiteValues:
    """Atoms that are on in the clean or the corrupt prompt at some token, `E` in all, by token and atom. `C` tokens."""

    token: torch.Tensor
    """[E]"""
    atom: torch.Tensor
    """[E]"""
    clean: torch.Tensor
    """[E]: activations"""
    corrupt: torch.Tensor
    """[E]"""
    change: torch.Tensor
    """[E]: clean less corrupt, scaled where a norm is undone: how far x moves along the atom's direction"""
    error: torch.Tensor
    """[C, d]: clean less corrupt"""
    error_clean: torch.Tensor
    """[C]: norms"""
    error_corrupt: torch.Tensor
    """[C]"""


def site_values(sae: Dictionary, x: torch.Tensor, y: torch.Tensor | None) -> SiteValues:
    """The nodes of a dictionary at tokens x [C, d] of the clean prompts and y of the corrupt ones; None: everything goes to 0."""
    bias = sae.bias(x)
    if y is None:
        a, scale = sae.encode(x), sae.scale(x)
        b, b_scale, moved = torch.zeros_like(a), scale, x - bias
    else:
        other = (x != y).any(-1)
        both = sae.encode(torch.cat([x, y[other]]))  # one product reads the weights once
        a, b = both[: len(x)], both[: len(x)].clone()
        b[other] = both[len(x) :]
        scale, b_scale, moved = sae.scale(x), sae.scale(y), x - y
    on = (a != 0) | (b != 0)
    token, atom = on.nonzero(as_tuple=True)
    clean, corrupt = a[token, atom], b[token, atom]
    change = clean * scale[token, 0] - corrupt * b_scale[token, 0]
    whole = len(token) > DENSE * on.numel()

    def decoded(amount: torch.Tensor) -> torch.Tensor:
        """[E] -> [C, d]"""
        if whole:
            return torch.zeros_like(a).index_put_((token, atom), amount) @ sae.W_dec
        return _rows(sae, token, atom, amount, len(x))

    error = moved - decoded(change)
    error_clean = (x - bias - decoded(clean * scale[token, 0])).norm(dim=-1)
    theirs = x.new_zeros(1) if y is None else y - sae.bias(y) - decoded(corrupt * b_scale[token, 0])
    return SiteValues(token, atom, clean, corrupt, change, error, error_clean, theirs.norm(dim=-1).expand(len(x)))


def effects(sae: Dictionary, values: SiteValues, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What a linear model with this gradient [C, d] loses with each change: of the atoms [E], of the errors [C]. float64."""
    if len(values.token) > DENSE * len(gradient) * sae.width:
        slope = (gradient @ sae.W_dec.T)[values.token, values.atom]
    else:
        with torch.enable_grad():  # the slope of a weighted sum of rows by its weights, without gathering the rows
            weight = torch.zeros_like(values.change, requires_grad=True)
            moved = _rows(sae, values.token, values.atom, weight, len(gradient))
        slope = torch.autograd.grad(moved, weight, gradient)[0]
    return (values.change * slope).double(), (values.error * gradient).sum(-1).double()


def _rows(sae: Dictionary, token: torch.Tensor, atom: torch.Tensor, amount: torch.Tensor, tokens: int) -> torch.Tensor:
    """[E], ascending by token -> [tokens, d]: at each token the sum of its atoms' rows of W_dec, so much of each."""
    starts = torch.searchsorted(token, torch.arange(tokens, device=token.device))
    return torch.nn.functional.embedding_bag(atom, sae.W_dec, starts, mode="sum", per_sample_weights=amount)
