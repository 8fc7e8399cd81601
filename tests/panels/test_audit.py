"""The Audit panel: its numbers are the methods', a new text does not repeat the corpus, and what is done stays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

import interp_widgets as iw
from interp_widgets import frames, methods
from interp_widgets.errors import DictionaryError, TextError
from interp_widgets.methods import audit_run
from tests.methods.conftest import IOI

from .conftest import SENTENCES, TEXT, click


def table(panel: iw.Audit) -> tuple[np.ndarray, np.ndarray]:
    shape = (len(panel.dictionaries), len(panel.sources), len(panel.quantities))
    values = np.frombuffer(panel.values, "<f4").reshape(*shape, len(panel.columns), 3)
    return values, np.frombuffer(panel.counts, "<i4").reshape(shape)


def test_its_numbers_are_the_methods(toy, toy_sae, audit) -> None:
    expected = methods.audit(toy, {"one": SENTENCES[:12], "two": SENTENCES[12:]}, sae=toy_sae, text=TEXT)
    assert audit.frame.equals(expected)
    assert audit.sources == ["all", "one", "two", "this text"]
    assert [column for column in audit.columns] == ["sae", "pca", "random", "identity", "model", "mean", "zero"]
    values, counts = table(audit)
    names = [quantity["name"] for quantity in audit.quantities]
    assert set(names) == set(expected["quantity"])
    for row in expected.iter_rows(named=True):
        column = "sae" if row["dictionary"] == toy_sae.name else row["dictionary"]
        at = 0, audit.sources.index(row["source"]), names.index(row["quantity"])
        assert counts[at] == row["n"]
        found = values[(*at, audit.columns.index(column))]
        wanted = [np.nan if row[end] is None else row[end] for end in ("value", "low", "high")]
        np.testing.assert_allclose(found, np.array(wanted, "f4"), rtol=1e-5, atol=1e-6)
    assert (counts >= 0).sum() == len(expected.select("source", "quantity").unique())
    faith = methods.error_effect(toy, TEXT, sae=toy_sae)
    assert audit.faithfulness.equals(faith)
    assert audit.curves[0]["kept"] == faith.filter(pl.col("errors"))["atoms"].to_list()
    assert audit.curves[0]["without_errors"] == pytest.approx(faith.filter(~pl.col("errors"))["faithfulness"].to_list())


def test_the_histogram_counts_every_atom(audit) -> None:
    bins = np.frombuffer(audit.histogram, "<i4").reshape(1, 4, len(audit.edges) + 1)
    assert (bins.sum(-1) == 384).all()
    dead = audit.frame.filter(dictionary=audit.saes[0].name, quantity="dead_share", source="all")["value"].item()
    assert bins[0, 0, 0] == round(dead * 384)
    audit.set_state({"bin": 0})
    assert len(audit.listed) == 60
    column = int(bins[0, 0, 1:].argmax()) + 1
    audit.set_state({"bin": column})
    assert len(audit.listed) == min(60, bins[0, 0, column])
    density = audit._runs[0].density("all")[audit.listed]
    assert (density <= audit.edges[column - 1] + 1e-12).all()
    assert (density > audit.edges[column - 2]).all()
    audit.set_state({"bin": -1})
    assert audit.listed == []


def test_a_new_text_leaves_the_corpus_as_it_is(audit, monkeypatch) -> None:
    before = audit.frame.filter(pl.col("source") != "this text")
    own = audit.frame.filter(source="this text")

    def no(*args, **more):
        raise AssertionError("the texts were read again")

    monkeypatch.setattr("interp_widgets.methods.audit_run.start", no)
    click(audit, "run", text=IOI)
    audit.run()
    after = audit.frame
    assert after.filter(pl.col("source") != "this text").equals(before)
    assert not after.filter(source="this text").equals(own)
    click(audit, "run", text="")
    audit.run()
    assert audit.frame.equals(before)
    assert audit.curves == [{}]
    with pytest.raises(TextError, match="no text to look at"):
        _ = audit.faithfulness


def test_a_text_that_cannot_be_read_leaves_the_former_result(audit) -> None:
    before = audit.frame
    click(audit, "run", text=" ".join(["the"] * 3000))
    audit._job.wait()
    assert audit.error == "" or "tokens" in audit.error  # a long text is cut into windows
    audit._answer = ("mary john", None)
    kept = audit.frame
    click(audit, "run", text=IOI)
    with pytest.raises(TextError, match="exactly one token"):
        audit.run()
    assert "exactly one token" in audit.error
    assert audit.frame.equals(kept)
    assert len(before)


def test_what_was_measured_before_a_stop_stays(toy, toy_sae, monkeypatch) -> None:
    taken = audit_run._add
    panel = iw.Audit(toy, SENTENCES, sae=toy_sae, batch=2)
    seen = []

    def take(run, *rest):
        taken(run, *rest)
        seen.append(1)
        if len(seen) == 3:
            panel.cancel()

    panel.cancel()
    panel._job.wait()
    monkeypatch.setattr(audit_run, "_add", take)
    with pytest.raises(iw.errors.Cancelled):
        panel.run()
    assert panel.status["state"] == "cancelled"
    assert panel.dictionaries[0]["done"] == 6 < panel.dictionaries[0]["total"]
    assert "6 of 13 windows so far" in panel.notes[0]
    assert panel.frame.filter(quantity="active", dictionary=toy_sae.name)["n"].item() > 20
    monkeypatch.setattr(audit_run, "_add", taken)
    panel.run()
    assert panel.frame.equals(methods.audit(toy, SENTENCES, sae=toy_sae, batch=2))


def test_several_dictionaries_one_at_a_time(toy) -> None:
    both = [iw.load_sae(f"toy-grammar/resid_post.{layer}") for layer in (1, 2)]
    panel = iw.Audit(toy, SENTENCES, sae=both, baselines=False)
    panel.run()
    assert [about["site"] for about in panel.dictionaries] == ["resid_post.1", "resid_post.2"]
    panel.select(quantity="cosine", dictionary=1)
    assert panel.selection["site"].unique().to_list() == ["resid_post.2"]
    assert panel.selection["quantity"].to_list() == ["cosine"]
    values, _ = table(panel)
    name = [quantity["name"] for quantity in panel.quantities].index("cosine")
    assert values[1, 0, name, 0, 0] == pytest.approx(panel.selection["value"].item(), rel=1e-5)


def test_an_atom_is_looked_for_in_a_wider_dictionary(toy, toy_sae) -> None:
    """A dictionary with each atom of the other one twice, at half the activation: two atoms explain what one did."""
    twice = {
        "W_enc": toy_sae.W_enc.repeat(1, 2),
        "b_enc": toy_sae.b_enc.repeat(2),
        "W_dec": toy_sae.W_dec.repeat(2, 1) / 2,
    }
    wider = replace(toy_sae, name="twice", k=2 * toy_sae.k, **twice)
    panel = iw.Audit(toy, SENTENCES, sae=[toy_sae, wider], baselines=False)
    panel.run()
    atom = int(np.argmax(panel._runs[0].density("all")))
    panel.effect(atom)
    frames.check(panel.splitting, frames.SPLITTING)
    found = panel.spread["split"]
    assert found["wider"] == "twice"
    assert {row[0] for row in found["rows"]} >= {atom} or {row[0] for row in found["rows"]} >= {atom + toy_sae.width}
    assert found["rows"][0][1:] == pytest.approx((1, 1), abs=1e-4)
    assert found["explained"] == pytest.approx(1, abs=1e-4)
    panel.select(dictionary=1)
    panel.effect(atom)
    with pytest.raises(TextError, match="no wider dictionary"):
        _ = panel.splitting


def test_an_atom_over_contexts(toy, toy_sae, audit) -> None:
    atom = int(np.argmax(audit._runs[0].density("all")))
    found = audit.effect(atom)
    frames.check(found, frames.CONTEXT_EFFECTS)
    mine = found.filter(direction="atom")
    assert audit.spread["values"] == mine["effect"].to_list()
    assert audit.spread["summary"] == methods.context_summary(found).to_dicts()
    assert len(audit.spread["contexts"]) == len(mine)
    assert audit.spread["from"] <= min(mine["effect"]) <= max(mine["effect"]) <= audit.spread["to"]
    assert audit.atom == atom
    assert audit.effects.equals(found)
    assert len(audit.frame) > 50, "the audit is still there"


def test_what_is_not_there_gets_a_sentence(toy, toy_sae, audit) -> None:
    with pytest.raises(TextError, match="is not measured; the table has"):
        audit.select(quantity="beauty")
    with pytest.raises(TextError, match="no source 'three'"):
        audit.select(source="three")
    with pytest.raises(DictionaryError, match="There is no dictionary 2"):
        audit.select(dictionary=2)
    with pytest.raises(DictionaryError, match="atoms 0 to 383"):
        audit.effect(384)
    dead = audit._runs[0].atoms_in("all", 0)[0]
    with pytest.raises(DictionaryError, match="fires at none of the tokens"):
        audit.effect(dead)
    click(audit, "effect", atom=999)
    assert "Atom 999 does not exist" in audit.error
    with pytest.raises(DictionaryError, match="no dictionary to audit"):
        iw.Audit(toy, SENTENCES, sae=[])
    with pytest.raises(TextError, match="two windows"):
        iw.Audit(toy, [TEXT], sae=toy_sae).run()


def test_an_atom_has_to_wait_for_the_audit(toy, toy_sae) -> None:
    with toy._lock:  # the model is busy elsewhere
        panel = iw.Audit(toy, SENTENCES, sae=toy_sae)
        click(panel, "effect", atom=1)
        assert "still running" in panel.error
    panel.run()
