"""The result of each panel in one sentence, for a reader who cannot see it: from what its run measured, and from nothing else.

Each holds in every state of its run: what is not measured yet is left out, and what may still change is said to be so far.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from ..graphs.page import FAITHFUL
from ..widgets.attention import SCORES
from .wording import counted, name, number, percent, quoted

if TYPE_CHECKING:
    from ..methods.atom_activations import AtomsRun
    from ..methods.atom_effects import EffectsRun
    from ..methods.attention_run import AttentionRun
    from ..methods.audit_run import AuditRun
    from ..methods.head_scores import Effects
    from ..methods.logit_lens import LensRun
    from ..methods.patching_pairs import PairsRun
    from ..methods.patching_run import PatchingRun
    from ..methods.steering_run import SteeringRun

Text = Callable[[int], str]
"""The exact text of a token id: `Session.text_of`."""

FEW = 5
"""Queries below which an induction score says little."""

_WAYS = {"denoise": "clean into corrupt", "noise": "corrupt into clean"}
_STEERING = {"add": "Adding", "project_out": "Projecting out", "clamp": "Clamping", "ablate": "Ablating"}
_PAIR_METRICS = {
    "recovery": "recovery",
    "logit_difference": "effect on the logit difference",
    "probability": "effect on the answer's probability",
}


def lens(model: str, run: LensRun, text_of: Text) -> str:
    """The prediction after the last position shown, and since which layer it stands."""
    tops, count, read = run.top_ids[:, -1, 0].tolist(), len(run.tokens), run.positions[-1] + 1
    answer, share = tops[-1], float(run.top_probabilities[-1, -1, 0])
    after = counted(count, "token") if read == count else f"the first {read:,} of {count:,} tokens"
    if not math.isfinite(share):
        return f"{name(model)} gives no finite probabilities after {after}."
    first = next(i for i in range(len(tops)) if all(top == answer for top in tops[i:]))
    since = (
        "at every layer"
        if first == 0
        else f"from layer {run.layers[first]}{', the last,' * (first == len(tops) - 1)} on"
    )
    return f"{name(model)} predicts {quoted(text_of(answer))} ({percent(share)}) after {after}; it is the top token {since}."


def atoms(sae: str, run: AtomsRun, effects: EffectsRun | None, text_of: Text) -> str:
    """How much the dictionary keeps of the text, and once it is measured which atom matters most for the answer."""
    from ..methods.atom_effects import strongest_effects

    active = [n for position, n in enumerate(run.active.tolist()) if position not in run.masked]
    if not active:
        return f"{name(sae)}: every token is left out of scales, so there is nothing to sum up."
    kept = "" if run.explained_variance is None else f", explained variance {percent(run.explained_variance)}"
    mean = number(sum(active) / len(active))
    said = f"{name(sae)}: {mean} atoms are active at a token on average{kept}, over {counted(len(active), 'token')}"
    for row in [] if effects is None else strongest_effects(effects, count=1).rows(named=True):
        answer = quoted(text_of(effects.answer))  # type: ignore[union-attr]
        said += f"; atom {row['atom']} has the largest effect on {answer} ({percent(row['share'])} of all)"
    return f"{said}."


def telling_score(run: AttentionRun) -> str:
    """The score that says most of a text: induction, or where little repeats the previous token."""
    from ..methods.head_scores import repeats

    return "induction" if repeats(run.ids) >= FEW else "previous_token"


def attention(run: AttentionRun, effects: Effects | None, text_of: Text) -> str:
    """The head that the answer needs most, once that is measured; else that of the highest score."""
    heads = run.scores.shape[-1]
    said = f"{counted(len(run.tokens), 'token')} in {counted(len(run.layers), 'layer')} of {counted(heads, 'head')}"
    if effects is not None and (known := effects.effect.isfinite()).any():
        layer, head = divmod(int(effects.effect.abs().nan_to_num(-1.0).argmax()), heads)
        what = f"log-probability of {quoted(text_of(effects.answer))}"
        if effects.foil is not None:
            what = f"logit difference of {quoted(text_of(effects.answer))} over {quoted(text_of(effects.foil))}"
        so_far = "" if known.all() else f", of {int(known.sum()):,} heads so far"
        change = number(float(effects.effect[layer, head]), sign=True)
        return f"{said}; the {what} changes most without layer {effects.layers[layer]}, head {head}: {change}{so_far}."
    score = telling_score(run)
    best = run.scores[:, SCORES.index(score)].flatten().nan_to_num(-math.inf)
    if best.numel() and math.isfinite(highest := float(best.max())):
        layer, head = divmod(int(best.argmax()), heads)
        words = score.replace("_", "-")
        said += f"; layer {run.layers[layer]}, head {head} has the highest {words} score, {number(highest)}"
    return f"{said}."


def audit(run: AuditRun, frame: pl.DataFrame, at: int, count: int) -> str:
    """What the dictionary shown (number `at` of `count`) keeps, on all texts. `frame`: its part of the audit's frame."""
    from ..methods.audit_fit import ALL

    rows = {
        row["quantity"]: row
        for row in frame.filter(source=ALL, dictionary=run.sae.name).iter_rows(named=True)
        if row["value"] is not None
    }
    kept = []
    for quantity, words in (("explained_variance", "explained variance"), ("loss_recovered_mean", "loss recovered")):
        if row := rows.get(quantity):
            ends = "" if row["low"] is None else f" (95% interval {percent(row['low'])} to {percent(row['high'])})"
            kept.append(f"{words} {percent(row['value'])}{ends}")
    if not kept:
        return ""
    which = f"Dictionary {at + 1} of {count}, " if count > 1 else ""
    done, total = int(run.at(ALL).sum()), len(run.measured)
    windows = counted(total, "window") if done == total else f"{done:,} of {total:,} windows so far"
    return f"{which}{name(run.sae.name)} at {name(run.site)}: {', '.join(kept)}, on {windows} of text."


def shift(frame: pl.DataFrame, names: dict[str, str]) -> str:
    """How often the probe is right, before and after. `names`: what the groups are called."""
    said = []
    for condition, retrained, words in (
        ("original", False, "The probe"),
        ("struck", False, "without the atoms struck out"),
        ("struck", True, "trained again"),
    ):
        rows = {row["group"]: row for row in frame.filter(condition=condition, retrained=retrained).to_dicts()}
        if rows and (condition == "original" or rows["label"]["nodes"]):
            parts = [f"{names[group]} {percent(rows[group]['accuracy'])}" for group in ("label", "spurious", "worst")]
            said.append(f"{words}: {', '.join(parts)}")
    count = max(frame["nodes"].to_list(), default=0)
    return f"{'; '.join(said)}. {counted(count, 'atom')} struck out." if said else ""


def patching(run: PatchingRun, text_of: Text) -> str:
    """The cell whose patch does most; before there is one, what the two prompts predict."""
    what = f"the logit difference of {quoted(text_of(run.answer))} over {quoted(text_of(run.foil))}"
    sweep = [column for column in run.patchable if column not in run.causal]
    done, effect = run.done[:, sweep], run.effect("logit_difference")[:, sweep]
    if not done.any():
        ends = (float(x.logit_difference[0]) for x in (run.clean_prediction, run.corrupt_prediction))
        clean, corrupt = (number(end, sign=True) for end in ends)
        return f"No cell is patched yet; {what} is {clean} in the clean prompt and {corrupt} in the corrupt one."
    cells = f"{done.numel():,} cells" if done.all() else f"{int(done.sum()):,} of {done.numel():,} cells so far"
    row, at = divmod(int(effect.abs().nan_to_num(-1.0).argmax()), len(sweep))
    column = sweep[at]
    change, recovered = float(effect[row, at]), float(run.recovery("logit_difference")[row, column])
    if abs(change) <= run.tolerance:
        return f"Patching {_WAYS[run.direction]} moves {what} by no more than {run.tolerance:g} in {cells}."
    share = f" ({percent(recovered)} recovered)" if math.isfinite(recovered) else ""
    return (
        f"Patching {_WAYS[run.direction]} moves {what} most at {run.labels[row]}, position {run.columns[column][0]}: "
        f"{number(change, sign=True)}{share}, of {cells}."
    )


def pairs(run: PairsRun, metric: str, found: dict[str, np.ndarray], level: float) -> str:
    """The cell whose mean over pairs is largest in size. `found`: `summarise` of the metric, [R * C]."""
    from ..methods.patching_run import label_of

    count, known = len(run.pairs), found["pairs"] > 0
    if not run.done or not known.any():
        return ""
    over = (
        f"Over {counted(count, 'pair')}"
        if run.done == count
        else f"Over {run.done:,} of {counted(count, 'pair')} so far"
    )
    at = int(np.where(known, np.abs(found["mean"]), -1.0).argmax())
    row, column = divmod(at, len(run.columns))
    span = run.columns[column]
    where = f"position {span[0]}" if len(span) == 1 else f"positions {span[0]} to {span[-1]}"
    low, high, q = (float(found[end][at]) for end in ("low", "high", "q"))
    chance = "" if q < level else f"; it may be zero (q {number(q)})"
    return (
        f"{over} the mean {_PAIR_METRICS[metric]} is largest at {label_of(run.rows[row])}, {where}: "
        f"{number(float(found['mean'][at]))}, 95% interval {number(low)} to {number(high)}{chance}."
    )


def steering(run: SteeringRun, strength: float, text_of: Text) -> str:
    """What the strength shown does to the next token, beside random directions."""
    if run.baseline is None:
        return ""
    what = f"the logit difference of {quoted(text_of(run.answer))} over {quoted(text_of(run.foil))}"
    before, steered = number(run.baseline.logit_difference), run.outcomes.get((None, strength))
    if steered is None:
        return f"Without steering {what} is {before}; no steered text is ready yet."
    change = run.change
    sites = str(change.sites[0]) if len(change.sites) == 1 else f"{change.sites[0]} and {len(change.sites) - 1} more"
    done = f"{_STEERING[change.mode]} {name(change.direction.name)} at {sites}, strength {number(strength)}"
    others = [run.outcomes[seed, strength].logit_difference for seed in run.seeds if (seed, strength) in run.outcomes]
    ends = [number(end) for end in (min(others, default=math.nan), max(others, default=math.nan))]
    beside = f"; {counted(len(others), 'random one')}: {' to '.join(dict.fromkeys(ends))}" if others else ""
    return f"{done} takes {what} from {before} to {number(steered.logit_difference)}{beside}."


def agreement(sides: Sequence[str], frame: pl.DataFrame) -> str:
    """How often the two sessions have the same top token, and where they are furthest apart."""
    from ..methods.agreement import agreement_summary

    row = agreement_summary(frame).row(0, named=True)
    who = f"{name(sides[0])} and {name(sides[1])}"
    if not row["cells"]:
        return f"{who}: every cell shown is left out, so there is nothing to compare."
    apart = "" if row["worst"] is None else (
        f"; the total variation is {number(row['worst'])} at worst, at layer {row['worst_layer']}, position {row['worst_position']}"
    )  # fmt: skip
    same = "all" if row["agreeing"] == row["cells"] else percent(row["share"])
    return f"{who} have the same top token in {same} of {counted(row['cells'], 'cell')}{apart}."


def examples(table: str, atom: int, rows: pl.DataFrame) -> str:
    """How many examples of the atom shown there are, and over which activations."""
    if rows.is_empty():
        return ""
    where = f" in {name(table)}" if table else ""
    low, high = (
        number(float(x)) for x in rows.select(low=pl.col("activation").min(), high=pl.col("activation").max()).row(0)
    )
    span = f"an activation of {low}" if low == high else f"activations from {low} to {high}"
    return f"Atom {atom}{where}: {counted(len(rows), 'example')} with {span}."


def circuit(nodes: pl.DataFrame, faithfulness: pl.DataFrame | None, metric: str) -> str:
    """The strongest node, and once it is measured the smallest circuit that carries nine tenths of what is measured."""
    if nodes.is_empty():
        return "No node differs between the clean and the corrupt prompts."
    first = nodes.row(0, named=True)
    where = "" if first["position"] is None else f" at position {first['position']}"
    unit = "the error" if first["atom"] is None else f"atom {first['atom']}"
    said = f"Of {counted(nodes.height, 'node')} {unit} of {name(first['site'])}{where} has the largest effect on " \
           f"{name(metric)}: {number(first['effect'], sign=True)}"  # fmt: skip
    if faithfulness is None:
        return f"{said}."
    part = faithfulness.filter(error_nodes="nodes").sort("nodes")
    enough = part.filter(pl.col("faithfulness") >= FAITHFUL)
    if enough.is_empty():
        return f"{said}; no circuit measured reaches a faithfulness of {FAITHFUL:g}."
    row = enough.row(0, named=True)
    return f"{said}; the first {counted(row['nodes'], 'node')} reach a faithfulness of {number(row['faithfulness'])}."


def graph(nodes: pl.DataFrame, edges: pl.DataFrame, prompt: str) -> str:
    """How much a graph holds."""
    answers = int((nodes["kind"] == "logit").sum())
    of = f" of {quoted(prompt)}" if prompt else ""
    held = f"{counted(nodes.height - answers, 'node')} and {counted(edges.height, 'edge')}"
    return f"A graph{of}: {held} for {counted(answers, 'answer')}."
