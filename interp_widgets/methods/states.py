"""One activation a text, of any number of texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ..errors import SiteError
from ..progress import Progress, silent
from ..session.masking import sinks
from ..session.runner import Runner
from ..session.session import Session

TEXTS = 256
"""Texts that are read in one piece of work."""


def states(
    model: Session, texts: Sequence[list[int]], site: str, position: int | None, progress: Progress = silent
) -> torch.Tensor:
    """[texts, width], float32 on the CPU; it ends before the first text in which there is nothing to read.

    Args:
        position: which token of each text, negative from the end; None: the mean over those that are not masked. A masked one
            is nothing to read.

    Raises:
        SiteError: a site that is no vector at each token.
    """
    found: list[torch.Tensor] = []
    for first in range(0, len(texts), TEXTS):

        def report(done: int, _: int, message: str = "", partial: Any = None, first: int = first) -> None:
            progress(first + done, len(texts), message)

        some = list(texts[first : first + TEXTS])
        part = model.work(_read_states, some, site, position, progress=report)
        if len(part):
            found.append(part)
        if len(part) < len(some):
            break
    return torch.cat(found) if found else torch.zeros(0, 0)


def _read_states(
    model: Runner, texts: list[list[int]], site: str, position: int | None, progress: Progress = silent
) -> torch.Tensor:
    found: list[torch.Tensor] = []
    name = str(model.site(site))
    for done, ids in enumerate(texts):
        progress(done, len(texts), "reading texts")
        x = model.run([ids], [name])[name][0].float()
        if x.dim() != 2:
            raise SiteError(
                f"{name} is no vector at each token; use a site such as resid_post.{model.num_layers // 2}."
            )
        masked = sinks(model, ids, x.norm(dim=-1))
        at = [p for p in range(len(ids)) if p not in masked] if position is None else [position % len(ids)]
        if not at or at[0] in masked:
            break
        found.append(x[at].mean(0).cpu())
    return torch.stack(found) if found else torch.zeros(0, 0)
