"""How often probes are right in each group: as they are, without some atoms, and without what others would have struck."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import polars as pl
import torch

from .. import frames
from ..errors import TextError
from ..frames.circuits import parse_node
from ..progress import Progress, silent
from ..sae.baselines import identity
from ..sae.dictionary import Dictionary
from ..session.session import Session
from .probes import fit_probe, wilson
from .shift_passes import Effects, mean_activation, without
from .shift_run import Probe, ShiftRun, run_effects

Struck = list[tuple[Dictionary, list[int]]]
"""Dictionaries with those of their atoms that are set to zero."""
Rows = list[dict[str, Any]]


def struck_atoms(dictionaries: Sequence[Dictionary], names: Sequence[str]) -> Struck:
    """The atoms that names such as `resid_post.2/122` mean.

    Raises:
        TextError: one that is no atom of these dictionaries.
    """
    found: dict[str, list[int]] = {sae.site: [] for sae in dictionaries}
    for name in dict.fromkeys(names):
        node = parse_node(name)
        if node is None or node.atom is None or node.position is not None or node.site not in found:
            raise TextError(
                f"{name!r} is no atom that can be struck out: write site/atom, as in resid_post.2/122, with one of the sites "
                f"{', '.join(found) or '(there are no dictionaries)'}."
            )
        next(sae for sae in dictionaries if sae.site == node.site).check_atom(node.atom)
        found[node.site].append(node.atom)
    return [(sae, found[sae.site]) for sae in dictionaries]


def unchanged(run: ShiftRun) -> Rows:
    """Of the run's own probe, with nothing struck."""
    return _rows(run, run.probe, run.readings["test"].pooled, "original", nodes=0)


def changed(
    model: Session,
    run: ShiftRun,
    condition: str,
    struck: Struck,
    *,
    draw: int | None = None,
    nodes: int | None = None,
    progress: Progress = silent,
) -> Rows:
    """Of the run's probe on activations without the struck atoms, and of one that is trained on such activations.

    `nodes`: how many they count as, if not one each.
    """
    test, train = (
        model.work(without, run.readings[split], struck, progress=progress) for split in ("test", "ambiguous")
    )
    again = fit_probe(train, run.data.splits["ambiguous"].label, run.l2)
    retrained = Probe(run.probe.site, run.probe.labels, *again)
    count = sum(len(atoms) for _, atoms in struck) if nodes is None else nodes
    more: dict[str, Any] = {"draw": draw, "nodes": count}
    return [
        *_rows(run, run.probe, test, condition, **more),
        *_rows(run, retrained, test, condition, retrained=True, **more),
    ]


def compared(
    model: Session,
    run: ShiftRun,
    struck: Struck,
    *,
    draws: int,
    texts: int,
    steps: int,
    seed: int,
    progress: Progress = silent,
) -> Rows:
    """Of as many atoms at random, of the atoms and the neurons that labels would choose, and of a probe on balanced texts."""
    count = sum(len(atoms) for _, atoms in struck)
    weights, bias = fit_probe(run.readings["balanced"].pooled, run.data.splits["balanced"].label, run.l2)
    oracle = Probe(run.probe.site, run.probe.labels, weights, bias)
    rows = _rows(run, oracle, run.readings["test"].pooled, "balanced", retrained=True, nodes=0)
    if count == 0:
        return rows
    ambiguous = run_effects(model, run, "ambiguous", "label", texts=texts, steps=1, progress=progress)
    for draw in range(draws):
        chosen = _at_random(struck, ambiguous, random.Random(f"{seed} {draw}"))
        rows += changed(model, run, "random", chosen, draw=draw, progress=progress)
    by_label = run_effects(model, run, "balanced", "spurious", texts=texts, steps=steps, progress=progress)
    best = _largest([found.atoms.double().mean(0) for found in by_label], count)
    chosen = [(sae, atoms) for sae, atoms in zip(run.dictionaries, best, strict=True)]
    rows += changed(model, run, "by label", chosen, progress=progress)
    neurons = _neurons(model, run, count, texts, steps, progress)
    return rows + changed(model, run, "neurons", neurons, nodes=count, progress=progress)


def accuracy_frame(rows: Rows) -> pl.DataFrame:
    """See `frames.SHIFT_ACCURACY`."""
    return frames.build(frames.SHIFT_ACCURACY, {name: [row[name] for row in rows] for name in frames.SHIFT_ACCURACY})


def _at_random(struck: Struck, ambiguous: Sequence[Effects], rng: random.Random) -> Struck:
    """As many atoms of each dictionary as were struck, of those that are active and were not."""
    out: Struck = []
    for (sae, atoms), found in zip(struck, ambiguous, strict=True):
        others = sorted(set(found.active.nonzero().flatten().tolist()) - set(atoms))
        out.append((sae, rng.sample(others, min(len(atoms), len(others)))))
    return out


def _neurons(model: Session, run: ShiftRun, count: int, texts: int, steps: int, progress: Progress) -> Struck:
    """The coordinates of the dictionaries' sites that labels would choose, each put at its mean over the ambiguous texts."""
    size, bases = {}, []
    for sae in run.dictionaries:
        center = model.work(mean_activation, run.readings["ambiguous"], sae.site)
        bases.append(identity(model, sae.site, center=center))
        size[sae.site] = len(center)
    found = run_effects(
        model, run, "balanced", "spurious", texts=texts, steps=steps, dictionaries=bases, progress=progress
    )
    both = [of.atoms.double().mean(0).unflatten(0, (2, -1)).sum(0) for of in found]
    best = _largest(both, count)
    return [(sae, [*some, *(i + size[sae.site] for i in some)]) for sae, some in zip(bases, best, strict=True)]


def _largest(effects: Sequence[torch.Tensor], count: int) -> list[list[int]]:
    """Which entries are the `count` largest of all."""
    lengths = [len(each) for each in effects]
    chosen = set(torch.cat(list(effects)).topk(min(count, sum(lengths))).indices.tolist())
    out, begin = [], 0
    for length in lengths:
        out.append([i for i in range(length) if begin + i in chosen])
        begin += length
    return out


def _rows(
    run: ShiftRun, probe: Probe, pooled: torch.Tensor, condition: str, *, nodes: int, retrained: bool = False,
    draw: int | None = None,
) -> Rows:  # fmt: skip
    of, says = run.data.splits["test"], probe.says(pooled)
    all_texts = torch.ones(len(of), dtype=torch.bool)
    scores = {"label": (all_texts, says == of.label), "spurious": (all_texts, says == of.spurious)}
    groups = {name: (of.label == y) & (of.spurious == z) for name, y, z in run.data.groups()}
    scores |= {name: (where, says == of.label) for name, where in groups.items()}
    worst = min(groups, key=lambda name: float(scores[name][1][groups[name]].double().mean()))
    scores["worst"] = scores[worst]
    rows = []
    for group, (where, right) in scores.items():
        n, hits = int(where.sum()), int(right[where].sum())
        low, high = wilson(hits, n)
        rows.append(
            {"condition": condition, "retrained": retrained, "draw": draw, "nodes": nodes, "group": group, "n": n,
             "accuracy": hits / n, "low": low, "high": high}
        )  # fmt: skip
    return rows
