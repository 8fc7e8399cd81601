"""Rewriting weights so that one of the few equations of `dictionary` holds for them. Each function has its lines for scripts.

In all of them `tensors` holds W_enc [d_in, width], b_enc [width] and W_dec [width, d_in]; `name` begins the sentence about
shapes that do not fit.
"""

from __future__ import annotations

from .dictionary import check_weights
from .files import Tensors

NORMS = (
    'norm = sae["W_dec"].norm(dim=-1).clamp(min=1e-30)',
    'sae |= {"W_enc": sae["W_enc"] * norm, "b_enc": sae["b_enc"] * norm, "W_dec": sae["W_dec"] / norm[:, None]}',
)


def norms(tensors: Tensors, name: str) -> Tensors:
    """Directions of norm 1, activations larger by what their norm was: the reconstruction stays the same."""
    check_weights({key: tensors[key] for key in ("W_enc", "b_enc", "W_dec")}, name)
    norm = tensors["W_dec"].norm(dim=-1).clamp(min=1e-30)  # a dead atom may have norm 0
    return tensors | {
        "W_enc": tensors["W_enc"] * norm,
        "b_enc": tensors["b_enc"] * norm,
        "W_dec": tensors["W_dec"] / norm[:, None],
    }


DIRECTIONS = ('sae["W_dec"] = sae["W_dec"] * sae["{}"][:, None]',)


def directions(tensors: Tensors, key: str, name: str) -> Tensors:
    """Directions larger by a factor each, which SAELens 5 learned while finetuning and applied to activations in decode."""
    check_weights({"W_enc": tensors["W_enc"], "W_dec": tensors["W_dec"], key: tensors[key]}, name)
    return tensors | {"W_dec": tensors["W_dec"] * tensors[key][:, None]}


INPUTS = ('sae |= {{"W_enc": sae["W_enc"] * {0}, "W_dec": sae["W_dec"] / {0}, "b_dec": sae["b_dec"] / {0}}}',)


def inputs(tensors: Tensors, factor: float) -> Tensors:
    """For activations as they are, where the weights are for ones that were multiplied by a factor."""
    return tensors | {
        "W_enc": tensors["W_enc"] * factor,
        "W_dec": tensors["W_dec"] / factor,
        "b_dec": tensors["b_dec"] / factor,
    }


GATED = (
    'scale = sae["r_mag"].exp()',
    'sae |= {"W_enc": sae["W_enc"] * scale, "b_enc": sae["b_mag"], "threshold": sae["b_mag"] - sae["b_gate"] * scale}',
)


def gated(tensors: Tensors, name: str) -> Tensors:
    """A gated dictionary as the JumpReLU that it is (Rajamanoharan et al., arXiv:2404.16014, section 3.3).

    With p = x @ W_enc, an atom is p * exp(r_mag) + b_mag where p + b_gate > 0. That condition says that the same number is
    above b_mag - b_gate * exp(r_mag). Needs r_mag, b_mag and b_gate [width] instead of b_enc.
    """
    check_weights({key: tensors[key] for key in ("W_enc", "r_mag", "b_mag", "b_gate")}, name)
    scale = tensors["r_mag"].exp()
    return tensors | {
        "W_enc": tensors["W_enc"] * scale,
        "b_enc": tensors["b_mag"],
        "threshold": tensors["b_mag"] - tensors["b_gate"] * scale,
    }
