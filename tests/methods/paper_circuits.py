"""Node effects the way the paper describes them, with plain PyTorch hooks: dictionaries in the forward pass, one backward pass.

Each activation becomes x_hat(f) + e with f and e leaves of their own, and what reaches the sum is passed on to x.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from interp_widgets.sae import Dictionary

Nodes = dict[str, tuple[torch.Tensor, torch.Tensor]]
"""Site -> values or effects of atoms [T, width] and errors [T, d] or [T]."""


def module_of(model: Any, site: str) -> torch.nn.Module:
    """Of a Llama: the module whose output a site is."""
    kind, _, layer = site.partition(".")
    name = {"embed": "model.embed_tokens", "attn_out": "self_attn", "mlp_out": "mlp", "resid_post": ""}[kind]
    path = name if kind == "embed" else f"model.layers.{layer}.{name}".rstrip(".")
    return model.torch_module.get_submodule(path)


def spliced(model: Any, ids: Sequence[int], dictionaries: Mapping[str, Dictionary]) -> tuple[torch.Tensor, Nodes]:
    """Logits [vocabulary] at the last position of the model with every dictionary in it, and the leaves."""
    leaves: Nodes = {}

    def hook(site: str, sae: Dictionary):
        def replace(_: Any, __: Any, output: Any) -> Any:
            x = output[0] if isinstance(output, tuple) else output
            f = sae.encode(x.detach()).requires_grad_()
            e = (x - sae.decode(f, x.detach())).detach().requires_grad_()
            leaves[site] = (f, e)
            put = sae.decode(f, x.detach()) + e + (x - x.detach())
            return (put, *output[1:]) if isinstance(output, tuple) else put

        return replace

    handles = [module_of(model, site).register_forward_hook(hook(site, sae)) for site, sae in dictionaries.items()]
    try:
        logits = model.torch_module(torch.tensor([list(ids)])).logits[0, -1]
    finally:
        for handle in handles:
            handle.remove()
    return logits, leaves


def attribution(
    model: Any, clean: Sequence[int], corrupt: Sequence[int] | None, answer: int, foil: int, dictionaries: Mapping[str, Dictionary]
) -> Nodes:  # fmt: skip
    """Effects of atoms [T, width] and errors [T]."""
    logits, mine = spliced(model, clean, dictionaries)
    (logits[answer] - logits[foil]).backward()
    theirs = None if corrupt is None else spliced(model, corrupt, dictionaries)[1]
    found = {}
    for site, (f, e) in mine.items():
        other_f, other_e = (torch.zeros_like(f), torch.zeros_like(e)) if theirs is None else theirs[site]
        found[site] = ((f - other_f) * f.grad)[0].detach(), ((e - other_e) * e.grad)[0].sum(-1).detach()
    return found
