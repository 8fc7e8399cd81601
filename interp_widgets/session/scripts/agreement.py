"""The script of an agreement: two sessions, one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .loading import as_comment, fill, loading, making, source

if TYPE_CHECKING:
    from ..session import Session

_SAMPLED = "# Here the whole vocabulary is compared; the panel compared a sample, and said how well that is known."


def agreement(session: Session, other: Session, run: Any, tie: float) -> str:
    """Two sessions on one text (see `methods.agreement`), over the whole vocabulary. `run`: an `AgreementRun`."""
    ids = run.tokens["token_id"].to_list()
    deeper = other.num_layers - session.num_layers
    return loading(session, "Agreement of two sessions") + fill(
        session,
        "agreement.txt",
        ids=ids,
        prompt=as_comment(session, ids),
        positions=run.positions,
        masked=run.masked,
        tie=tie,
        covered=_SAMPLED if run.compared else "",
        rows=run.layers,
        side=_side(session, "", run.layers),
        loading=source(other),
        making=making(other),
        other_side=_side(other, "other_", [row + deeper for row in run.layers]),
        other_layer=f"layer + {deeper}" if deeper else "layer",
    )


def _side(session: Session, name: str, rows: list[int]) -> str:
    """The lines that read the model that is loaded, into `<name>streams` of all layers and `<name>logits` of some."""
    softcap = f".div({session.softcap}).tanh().mul({session.softcap})" if session.softcap else ""
    return fill(session, "agreement_side.txt", side=name, rows=rows, softcap=softcap).rstrip()
