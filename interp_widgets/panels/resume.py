"""A job that was sent before, maybe by a kernel that is gone: its panel again, or what a plain call gave back."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..errors import AnswerGone
from .recipe import again

CLASSES = {"Lens": "lens", "Atoms": "atoms", "Attention": "attention", "Patching": "patching", "PatchingPairs": "pairs",
           "Steering": "steering", "Audit": "audit", "Circuit": "circuit", "Shift": "shift"}  # fmt: skip
"""Panels that can be made again -> their modules."""


def resume(job: str) -> Any:
    """The result of a job that was sent to a server before, also by another kernel: from `iw.jobs()` or a panel's head line.

    Returns:
        The panel that asked, made again with the texts and options that it had. It waits for the earlier requests instead of
        sending them; whatever else it needs it sends as usual. Of a plain call: what its work gave back, tensors and plain values.

    Raises:
        AnswerGone: no job of that id is known here, another version sent it, the server keeps its answer no longer, or the panel
            was made of something that was only in memory. In a panel the sentence is shown.
        DictionaryError: the dictionary of the panel is gone.
    """
    from ..session.load import load
    from ..session.remote.connect import name_of
    from ..session.remote.session import RemoteSession
    from ..session.remote.tickets import find, tickets

    ticket = find(job)
    model = load(name_of(ticket.model), name=ticket.name, remote=ticket.host)
    assert isinstance(model, RemoteSession)
    if ticket.panel is None:
        return model.answer_of(ticket)
    kind, result = ticket.panel.get("class"), ticket.panel.get("result")
    if kind not in CLASSES:
        raise AnswerGone(f"This version has no panel {kind!r}, which asked for job {ticket.job}.")
    arguments = {name: again(value) for name, value in ticket.panel["arguments"].items()}
    model.resume([each for each in tickets() if each.panel and each.panel.get("result") == result])
    return getattr(import_module(f".{CLASSES[kind]}", __package__), kind)(model, **arguments)
