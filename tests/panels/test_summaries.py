"""The one sentence of each panel: true of its frame, in every state, and short whatever the tokens are."""

from __future__ import annotations

import dataclasses
import math
import re

import polars as pl
import pytest
import torch

import interp_widgets as iw
from interp_widgets.methods.head_scores import Effects
from interp_widgets.panels import summaries
from interp_widgets.panels.wording import number, percent
from tests.methods.conftest import IOI, some_pairs

from .conftest import SENTENCES, click

HOSTILE = ["\u202e" * 30, "x" * 500, '"</script>" \n', "", "مرحبا" * 20, "👩\u200d🔬" * 30, "\x00\u200b"]
LONGEST = 200


def say(text: str):
    return lambda token_id: text


# true of the frame


def test_lens(lens):
    out = lens.frame.filter(position=pl.col("position").max(), rank=1).sort("layer")
    answer = out.row(-1, named=True)
    first = out.filter(pl.col("token_id") != answer["token_id"])["layer"].max()
    since = out.filter(pl.col("layer") > (-1 if first is None else first))["layer"].min()
    said = lens.summary
    assert said.startswith(
        f'toy-grammar predicts "{answer["token"]}" ({percent(answer["probability"])}) after {len(lens.tokens)} tokens'
    )
    assert f"from layer {since}" in said or (since == out["layer"].min() and "at every layer" in said)


def test_lens_of_one_token_and_of_a_part(lens, toy):
    run = lens._run
    part = dataclasses.replace(run, positions=run.positions[:3], top_ids=run.top_ids[:, :3], top_logits=run.top_logits[:, :3],
                               log_normaliser=run.log_normaliser[:, :3])  # fmt: skip
    assert f"after the first 3 of {len(lens.tokens)} tokens" in summaries.lens("m", part, toy.text_of)
    one = dataclasses.replace(part, tokens=run.tokens.head(1), positions=[0])
    assert "after 1 token;" in summaries.lens("m", one, toy.text_of)


def test_lens_says_when_a_top_token_returned_late(lens):
    run = lens._run
    tops = run.top_ids.clone()
    tops[:, -1, 0] = torch.tensor([7, 8, 7, 7])  # there, gone, and there again
    said = summaries.lens("m", dataclasses.replace(run, top_ids=tops), str)
    assert said.endswith("it is the top token from layer 2 on.")
    tops[:, -1, 0] = torch.tensor([7, 7, 8, 7])
    assert summaries.lens("m", dataclasses.replace(run, top_ids=tops), str).endswith("from layer 3, the last, on.")
    tops[:, -1, 0] = 7
    assert summaries.lens("m", dataclasses.replace(run, top_ids=tops), str).endswith("at every layer.")
    broken = dataclasses.replace(run, top_logits=run.top_logits * math.nan)
    assert "no finite probabilities" in summaries.lens("m", broken, str)


def test_atoms(atoms):
    active = atoms.frame.filter(~pl.col("position").is_in(atoms.masked)).height
    count = len(atoms.tokens) - len(atoms.masked)
    strongest = atoms.find("effect").row(0, named=True)
    assert f"{number(active / count)} atoms are active at a token on average" in atoms.summary
    assert f"explained variance {percent(atoms._run.explained_variance)}" in atoms.summary
    assert f"over {count} tokens; atom {strongest['atom']} has the largest effect" in atoms.summary
    assert f"({percent(strongest['share'])} of all)." in atoms.summary


def test_atoms_before_their_effects_and_where_nothing_is_defined(atoms):
    run = atoms._run
    assert summaries.atoms("d", run, None, str).endswith(f"over {len(run.tokens) - len(run.masked)} tokens.")
    masked = dataclasses.replace(run, masked=list(range(len(run.tokens))))
    undefined = dataclasses.replace(run, explained_variance=None)
    assert "variance" not in summaries.atoms("d", undefined, None, str)
    assert "nothing to sum up" in summaries.atoms("d", masked, None, str)


def test_attention(attention):
    score = re.search(r"layer (\d+), head (\d+) has the highest ([\w-]+) score, ([\d.]+)\.$", attention.summary)
    column = score[3].replace("-", "_")
    best = attention.heads.sort(column, descending=True, nulls_last=True).row(0, named=True)
    assert (int(score[1]), int(score[2]), score[4]) == (best["layer"], best["head"], number(best[column]))
    assert attention.summary.startswith(f"{len(attention.tokens)} tokens in 4 layers")
    assert "without" not in attention.summary


def test_attention_with_effects_so_far(attention):
    run = attention._run
    effect = torch.full((4, run.scores.shape[-1]), math.nan, dtype=torch.float64)
    effect[1, 0], effect[1, 1] = 0.5, -2.25
    said = summaries.attention(run, Effects([0, 1, 2, 3], 5, 6, 1.0, effect), str)
    assert said.endswith(
        '; the logit difference of "5" over "6" changes most without layer 1, head 1: −2.25, of 2 heads so far.'
    )
    whole = Effects([0, 1, 2, 3], 5, None, 1.0, effect.nan_to_num(0.0))
    assert summaries.attention(run, whole, str).endswith(
        '; the log-probability of "5" changes most without layer 1, head 1: −2.25.'
    )


def test_attention_of_one_token(toy):
    panel = iw.Attention(toy, "the")
    panel.run()
    alone = dataclasses.replace(panel._run, tokens=panel._run.tokens.head(1), scores=panel._run.scores * math.nan)
    assert summaries.attention(alone, None, str).startswith("1 token in 4 layers of ")
    assert "score" not in summaries.attention(alone, None, str)


def test_patching(patching):
    cells = patching.frame.filter(method="exact")
    best = cells.sort(pl.col("effect").abs(), descending=True).row(0, named=True)
    assert (
        f"most at {best['site']}, position {best['position']}: {number(best['effect'], sign=True)}" in patching.summary
    )
    assert f"({percent(best['recovery'])} recovered), of {cells.height} cells." in patching.summary
    assert 'logit difference of "mary" over "john"' in patching.summary


def test_patching_half_done_and_not_begun(patching):
    run = patching._run
    half = dataclasses.replace(run, cells=run.cells.clone())
    half.cells.logit_difference[4:] = math.nan
    total = run.done.numel() - len(run.rows) * len(run.causal)
    assert re.search(rf"of \d+ of {total} cells so far\.$", summaries.patching(half, str))
    empty = dataclasses.replace(run, cells=run.cells.clone())
    empty.cells.logit_difference[:] = math.nan
    assert summaries.patching(empty, str).startswith("No cell is patched yet; the logit difference of")


def test_patching_of_one_text_moves_nothing(toy):
    panel = iw.Patching(toy, IOI, IOI, answer="mary", foil="john")
    panel.run()
    assert "by no more than" in panel.summary or "No cell is patched yet" in panel.summary


def test_pairs(many):
    best = many.cells.sort(pl.col("mean").abs(), descending=True).row(0, named=True)
    assert (
        f"Over {len(some_pairs())} pairs the mean recovery is largest at {best['site']}, position {best['position']}"
        in many.summary
    )
    assert f": {number(best['mean'])}, 95% interval {number(best['low'])} to {number(best['high'])}" in many.summary
    many.metric = "probability"
    assert "effect on the answer's probability is largest" in many.summary


def test_steering_follows_the_strength(steering):
    for strength in steering.strengths[:2]:
        steering.select(strength=strength)
        row = steering.frame.filter(direction="given", strength=strength).row(0, named=True)
        base = steering.frame.filter(direction="baseline").row(0, named=True)
        assert f"strength {number(strength)} takes" in steering.summary
        assert f"from {number(base['logit_difference'])} to {number(row['logit_difference'])}" in steering.summary
        assert "3 random ones: " in steering.summary
    waiting = dataclasses.replace(steering._run, outcomes={})
    assert "no steered text is ready yet" in summaries.steering(waiting, 1.0, str)
    assert summaries.steering(dataclasses.replace(waiting, baseline=None), 1.0, str) == ""


def test_agreement(agreement):
    row = agreement.totals.row(0, named=True)
    same = "all" if row["agreeing"] == row["cells"] else percent(row["share"])
    assert f"have the same top token in {same} of {row['cells']} cells" in agreement.summary
    assert (
        f"{number(row['worst'])} at worst, at layer {row['worst_layer']}, position {row['worst_position']}"
        in agreement.summary
    )


@pytest.mark.slow
def test_audit(audit, toy, toy_sae):
    rows = {
        row["quantity"]: row for row in audit.frame.filter(dictionary=toy_sae.name, source="all").iter_rows(named=True)
    }
    assert f"explained variance {percent(rows['explained_variance']['value'])}" in audit.summary
    assert f"loss recovered {percent(rows['loss_recovered_mean']['value'])}" in audit.summary
    assert "so far" not in audit.summary
    two = iw.Audit(toy, SENTENCES, sae=[toy_sae, iw.load_sae("toy-grammar/resid_post.3")], baselines=False)
    two.run()
    assert two.summary.startswith("Dictionary 1 of 2, ")
    two.select(dictionary=1)
    assert two.summary.startswith("Dictionary 2 of 2, ")
    assert "resid_post.3" in two.summary


def test_explorer_says_what_the_part_shown_says(explorer):
    assert explorer.summary == explorer.lens.summary != ""
    explorer.view = "attention"
    explorer.run()
    assert explorer.summary == explorer.attention.summary != ""
    explorer.view = "patching"
    explorer.run()
    assert explorer.summary == explorer.patching.summary != ""
    explorer._read("the cat")  # another text, on which nothing is known yet
    explorer.view = "atoms"
    explorer.cancel()
    assert explorer.lens.summary not in explorer.summary


# in every state


def test_nothing_is_said_before_there_is_a_result(toy, toy_sae):
    panels = (iw.Lens(toy), iw.Atoms(toy, sae=toy_sae), iw.Attention(toy), iw.Patching(toy), iw.Explorer(toy))
    assert [panel.summary for panel in panels] == [""] * len(panels)


def test_a_failure_keeps_what_was_said(lens):
    before = lens.summary
    click(lens, "run", text="")
    lens._job.wait()
    assert lens.error
    assert lens.summary == before
    click(lens, "run", text="the cat")
    lens._job.wait()
    assert not lens.error
    assert lens.summary != before


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_short_whatever_the_tokens_are(text, lens, atoms, attention, patching, steering, agreement, many):
    long = "m" * 300
    effects = Effects([0, 1, 2, 3], 5, 6, 1.0, torch.full((4, attention.head_count), -2.25, dtype=torch.float64))
    said = [
        summaries.lens(long, lens._run, say(text)),
        summaries.atoms(long, atoms._run, atoms._effects, say(text)),
        summaries.attention(attention._run, effects, say(text)),
        summaries.patching(patching._run, say(text)),
        summaries.steering(steering._run, steering.strength, say(text)),
        summaries.agreement([long, long], agreement.frame),
        summaries.examples(long, 2779, pl.DataFrame({"activation": [0.5, 10.0]})),
        many.summary,
    ]
    for sentence in said:
        assert 0 < len(sentence) <= LONGEST, (len(sentence), sentence)
        assert sentence.endswith(".")
        assert "\n" not in sentence
        assert not re.search("[\u202a-\u202e\u200b\x00-\x1f]", sentence)


def test_examples():
    rows = pl.DataFrame({"activation": [0.5, 10.0, 3.0]})
    assert summaries.examples("speeches", 7, rows) == "Atom 7 in speeches: 3 examples with activations from 0.5 to 10."
    assert summaries.examples("", 7, rows.head(1)) == "Atom 7: 1 example with an activation of 0.5."
    assert summaries.examples("", 7, rows.clear()) == ""
