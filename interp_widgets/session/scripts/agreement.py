"""The script of an agreement: two sessions, one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _fill, _loading, _prompt, _source

if TYPE_CHECKING:
    from ..session import Session


def agreement(session: Session, other: Session, run: Any, tie: float) -> str:
    """Two sessions on one text (see `methods.agreement`), over the whole vocabulary. `run`: an `AgreementRun`."""
    ids = run.tokens["token_id"].to_list()
    deeper = other.num_layers - session.num_layers
    sample = "# Here the whole vocabulary is compared; the panel compared a sample, and said how well that is known.\n"
    return _loading(session, "Agreement of two sessions") + _fill(
        "agreement.txt",
        ids=ids,
        prompt=_prompt(session, ids),
        positions=run.positions,
        masked=run.masked,
        tie=tie,
        covered=sample if run.compared else "",
        softcap=session.softcap,
        rows=run.layers,
        loading=_source(other),
        layers=other.architecture.layers,
        final_norm=other.architecture.final_norm,
        head=other.architecture.head,
        other_softcap=other.softcap,
        other_rows=[row + deeper for row in run.layers],
    )
