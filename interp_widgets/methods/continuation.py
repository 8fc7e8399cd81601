"""What a run says next: the likeliest token, then the likeliest after it, on kept keys and values."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence

import torch

from ..session import cache
from ..session.session import Session
from .patched_runs import Patch, Put


def said(model: Session, ids: Sequence[int], patch: Patch, tokens: int) -> list[tuple[int, float]]:
    """Token id and probability of each step; the patch acts on the prompt alone."""
    keeps = "past_key_values" in inspect.signature(model.torch_module.forward).parameters
    past = cache.empty()
    edit = _edits(patch)
    now, whole = list(ids), list(ids)
    out: list[tuple[int, float]] = []
    for _ in range(tokens):
        inputs: dict[str, object] = {}
        if keeps:
            ones = torch.ones(1, len(whole), dtype=torch.long, device=model.device)
            inputs = {"use_cache": True, "past_key_values": past, "attention_mask": ones}
        logits = model.run([now], ["logits"], edit=edit, logits_to_keep=1, inputs=inputs)["logits"][0, -1].float()
        chosen = int(logits.argmax())
        out.append((chosen, float(logits.cpu().double().softmax(-1)[chosen])))
        whole.append(chosen)
        now, edit = ([chosen], {}) if keeps and past.get_seq_length() else (whole, edit)
    return out


def _edits(patch: Patch) -> dict[str, Callable[[torch.Tensor], torch.Tensor]]:
    puts: dict[str, list[Put]] = {}
    for put in patch:
        puts.setdefault(str(put.site), []).append(put)

    def edit(here: list[Put]) -> Callable[[torch.Tensor], torch.Tensor]:
        def apply(x: torch.Tensor) -> torch.Tensor:
            x = x.clone()
            for put in here:
                x[:, list(put.positions)] = put.values.to(x)
            return x

        return apply

    return {site: edit(here) for site, here in puts.items()}
