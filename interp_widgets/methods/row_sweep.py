"""Patched runs as rows of one batch, a site at a time: for models whose keys and values cannot be kept and continued.

The layers below the patch are not run, since the corrupt stream into the patched layer is known; all positions of the prompt
are. Two to four times slower than `suffix_sweep`, and right for whatever a plain forward pass is right for.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..session.session import Session
from .patching_run import PatchingRun, Prediction, Reading, predict

TOKENS_AT_ONCE = 4096
"""Rows x tokens of one batch."""


def most_rows(length: int) -> int:
    return max(1, TOKENS_AT_ONCE // length - 1)


def patch(model: Session, run: PatchingRun, reading: Reading, row: int, at: list[int]) -> Prediction:
    """What one site predicts when patched at each position; the last row is patched with the corrupt run's own activations."""
    site, ids = run.sites[row], run.corrupt["token_id"].to_list()
    clean, corrupt = reading.clean[str(site)], reading.corrupt[str(site)]
    patched = corrupt.expand(len(at) + 1, *corrupt.shape).clone()
    patched[range(len(at)), at] = clean[[run.source[p] for p in at]]
    layer = int(site.layer or 0)
    edit: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {}
    if site.kind == "resid_pre":
        start = (layer, patched)
    elif site.kind == "resid_post" and layer + 1 < model.num_layers:
        start = (layer + 1, patched)
    else:
        stream = reading.stream(layer - 1).expand(len(at) + 1, -1, -1).clone()
        start, edit = (layer, stream), {str(site): lambda _: patched}
    logits = model.run([ids] * (len(at) + 1), ["logits"], edit=edit, start=start, logits_to_keep=1)["logits"][:, -1]
    return predict(logits.float(), run.answer, run.foil, run.top_ids.shape[-1])
