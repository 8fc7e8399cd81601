"""Node effects: against the paper's splicing by plain hooks, and where theory says what they must be."""

from __future__ import annotations

import polars as pl
import pytest
import torch

import interp_widgets as iw
from interp_widgets.methods import circuit

from .conftest import IOI, IOI_CORRUPT
from .paper_circuits import attribution, spliced

PAIR = {"clean": IOI, "corrupt": IOI_CORRUPT, "answer": "mary", "foil": "john"}


def loaded(*sites: str) -> dict[str, iw.sae.Dictionary]:
    return {site: iw.load_sae(f"toy-grammar/{site}") for site in sites}


EVERY = ("embed", *(f"{kind}.{layer}" for layer in range(4) for kind in ("attn_out", "mlp_out", "resid_post")))


def same_as(frame: pl.DataFrame, nodes: dict[str, tuple[torch.Tensor, torch.Tensor]], counted: range) -> None:
    """Each row is the number found otherwise, and no row is missing."""
    found = {row["node"]: row["effect"] for row in frame.iter_rows(named=True)}
    for site, (atoms, errors) in nodes.items():
        for position in counted:
            at = frame.filter(site=site, position=position, kind="atom")
            wanted = torch.zeros_like(atoms[position])
            wanted[at["atom"].to_list()] = torch.tensor(at["effect"].to_list(), dtype=wanted.dtype)
            torch.testing.assert_close(wanted, atoms[position], rtol=1e-3, atol=2e-5)
            assert found.get(f"{site}/error@{position}", 0) == pytest.approx(
                float(errors[position]), rel=1e-3, abs=2e-5
            )


def test_attribution_is_what_the_papers_splicing_gives(toy) -> None:
    saes = loaded(*EVERY)
    ids, other = toy.encode(IOI), toy.encode(IOI_CORRUPT)
    mary, john = toy.single_token("mary"), toy.single_token("john")
    same_as(circuit(toy, **PAIR), attribution(toy, ids, other, mary, john, saes), range(1, len(ids)))
    alone = circuit(toy, clean=IOI, answer="mary", foil="john")
    same_as(alone, attribution(toy, ids, None, mary, john, saes), range(1, len(ids)))


def test_reconstructions_and_errors_leave_the_model_as_it_is(toy) -> None:
    logits, _ = spliced(toy, toy.encode(IOI), loaded(*EVERY))
    plain = toy.run([toy.encode(IOI)], ["logits"])["logits"][0, -1]
    torch.testing.assert_close(logits.detach(), plain, rtol=1e-4, atol=1e-4)
