"""What a run says next: the likeliest token, then the likeliest after it, on kept keys and values."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..session import cache
from ..session.runner import Runner
from .patched_runs import Patch, edits_of


def said(model: Runner, ids: Sequence[int], patch: Patch, tokens: int) -> list[tuple[int, float]]:
    """Token id and probability of each step; the patch acts on the prompt alone."""
    keeps = model.takes_cache
    past = cache.empty()
    edit = {str(site): put for site, put in edits_of((0, put) for put in patch).items()}
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
