"""What a model predicts with nodes of a circuit switched off, weakened or made stronger, all in one run; after one prompt the
likeliest tokens, over many what becomes of the metric.

A node's value is multiplied by its factor as the run goes by, so nodes downstream of others see what these have become. An atom
moves the activation by (factor - 1) a d, the error by (factor - 1) (x - x_hat).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
import torch

from ... import frames
from ...errors import TextError
from ...frames.circuits import Node, parse_node
from ...progress import Progress, silent
from ...sae.dictionary import Dictionary
from ...session.runner import Runner
from ...session.session import Session, Text
from ..pair_statistics import bootstrap
from .dictionaries import Dictionaries, Given, check_sites, dictionaries_of
from .kept import ENTRIES, TOKENS_AT_ONCE, Edit, amounts_of
from .prompts import Batch, Prompts, Tokens, prompts_of

TOP = 10
"""Likeliest tokens that are listed of each run."""


def circuit_prediction(
    model: Session,
    *,
    text: Text,
    scales: Mapping[str, float],
    dictionaries: Given = None,
    answer: Tokens | None = None,
    foil: Tokens | None = None,
    top: int = TOP,
) -> pl.DataFrame:
    """The likeliest next tokens as the model is and with nodes scaled (see `frames.CIRCUIT_PREDICTION`).

    Args:
        model: a session.
        text: the prompt.
        scales: name of a node (see `frames.CIRCUIT_NODES`) -> factor: 0 is off, 1 as it is, 2 doubled. A node without position is
            scaled at every token but markers and attention sinks.
        dictionaries: those that the nodes were found with (see `methods.circuit`).
        answer, foil: what the metric measures; each a token, or several whose mean logit counts. Default: the likeliest token, less
            the mean of the vocabulary.
        top: how many tokens of each run; answers and foils are listed besides. Default 10.

    Raises:
        TextError: a bad prompt, answer or foil, a name of no node, or a position that has no nodes.
        DictionaryError: no dictionary for a node's site, or none with such an atom.
    """
    prompts = prompts_of(model, text, None, answer, foil)
    (batch,) = prompts.batches
    nodes, used = _checked(scales, prompts, dictionaries_of(model, dictionaries))
    logits, metric = model.work(_predict, batch, used, nodes)
    return _frame(model, logits, metric.tolist(), prompts.answers[0], prompts.foils[0], top)


def circuit_change(
    model: Session,
    *,
    scales: Mapping[str, float],
    clean: Text | Sequence[Text],
    corrupt: Text | Sequence[Text] | None = None,
    answer: Tokens | Sequence[Tokens] | None = None,
    foil: Tokens | Sequence[Tokens] | None = None,
    dictionaries: Given = None,
    batch: int | None = None,
    progress: Progress = silent,
) -> pl.DataFrame:
    """The metric of each clean prompt as the model is and with nodes scaled (see `frames.CIRCUIT_CHANGE`).

    `change_summary` makes the mean change of it, with an interval.

    Args:
        model: a session.
        scales: as in `circuit_prediction`. A node is left alone in a prompt that has a marker or an attention sink at its position.
        clean, corrupt, answer, foil, dictionaries: as in `methods.circuit`. The corrupt prompts are not changed: they say what the
            foil is where none is given, and which positions have nodes.
        batch: prompts of a pass; default as many as some 2,000 tokens have.
        progress: called between passes with what is known so far, a frame.

    Raises:
        TextError, AlignmentError: as in `methods.circuit`; a name of no node, a position that has no nodes in any prompt, or nodes
            with positions where prompts have several lengths.
        DictionaryError: no dictionary for a node's site, or none with such an atom.
    """
    prompts = prompts_of(model, clean, corrupt, answer, foil)
    return run_change(model, prompts, dictionaries_of(model, dictionaries), scales, batch=batch, progress=progress)


def run_change(
    model: Session,
    prompts: Prompts,
    dictionaries: Dictionaries,
    scales: Mapping[str, float],
    *,
    batch: int | None = None,
    progress: Progress = silent,
) -> pl.DataFrame:
    """`circuit_change` of prompts that are read already."""
    nodes, used = _checked(scales, prompts, dictionaries)

    def report(done: int, total: int, message: str = "", partial: Any = None) -> None:
        progress(done, total, message, None if partial is None else _changes(partial))

    return _changes(model.work(_measure, prompts.batches, used, nodes, batch, progress=report))


def change_summary(changes: pl.DataFrame) -> pl.DataFrame:
    """The mean over prompts of what `circuit_change` returned, with a 95 % bootstrap interval of the mean change.

    Args:
        changes: columns CIRCUIT_CHANGE.

    Returns:
        One row, columns CIRCUIT_CHANGE_SUMMARY.

    Raises:
        FrameError: another frame. TextError: one without rows.
    """
    frames.check(changes, frames.CIRCUIT_CHANGE)
    if changes.is_empty():
        raise TextError("There is no prompt whose change is known. Give a frame of circuit_change that has rows.")
    low, high = bootstrap(changes["change"].to_numpy()[:, None]) if changes.height > 1 else ([None], [None])
    columns: dict[str, Any] = {
        "prompts": [changes.height],
        **{name: [changes[name].mean()] for name in ("metric", "changed_metric", "change")},
        "low": list(low),
        "high": list(high),
    }
    return frames.build(frames.CIRCUIT_CHANGE_SUMMARY, columns)


def _changes(metric: torch.Tensor) -> pl.DataFrame:
    """From metrics [2, n], NaN where a prompt is not done."""
    known = (~metric.isnan().any(0)).nonzero()[:, 0]
    before, after = metric[:, known].numpy()
    columns = {
        "pair": known.tolist(),
        "metric": before,
        "changed_metric": after,
        "change": np.subtract(after, before),
    }
    return frames.build(frames.CIRCUIT_CHANGE, columns)


def _checked(
    scales: Mapping[str, float], prompts: Prompts, dictionaries: Dictionaries
) -> tuple[dict[Node, float], dict[str, Dictionary]]:
    """Nodes by their names, and the dictionaries of their sites."""
    nodes = {_node(name, prompts.batches): float(factor) for name, factor in scales.items()}
    sites = {node.site for node in nodes}
    check_sites(sites, dictionaries)
    used = {site: dictionaries[site] for site in dictionaries if site in sites}
    for node in nodes:
        if node.atom is not None:
            used[node.site].check_atom(node.atom)
    return nodes, used


def _node(name: str, batches: Sequence[Batch]) -> Node:
    """A node of the prompts, from its name."""
    node = parse_node(name)
    if node is None:
        raise TextError(f"{name!r} is no node. Its name is site/atom or site/error, perhaps with @position behind it.")
    at = node.position
    if at is not None and len(batches) > 1:
        raise TextError(f"{name} has a position, but the prompts have several lengths. Give prompts of one length.")
    if at is not None and not (at < batches[0].counted.shape[1] and batches[0].counted[:, at].any()):
        raise TextError(
            f"{name} is at a token that has no nodes: there is none, or it is a marker or an attention sink."
        )
    return node


def _predict(
    model: Runner, batch: Batch, dictionaries: Mapping[str, Dictionary], nodes: Mapping[Node, float]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits [2, vocabulary] and metric [2] of the prompt as it is and with nodes scaled: two rows of one run."""

    def then(values: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        normed = values["final_norm"]
        metric = batch.metric.measure(model, values[batch.metric.reads], torch.zeros(2, dtype=torch.long))
        return model.head(normed[:, -1]).double().cpu(), metric.double().cpu()

    read = list(dict.fromkeys(["final_norm", batch.metric.reads]))
    found: tuple[torch.Tensor, torch.Tensor] = model.run(
        batch.clean.repeat(2, 1).tolist(), read, edit=_edits(dictionaries, nodes, batch.counted), then=then
    )
    return found


def _measure(
    model: Runner,
    batches: Sequence[Batch],
    dictionaries: Mapping[str, Dictionary],
    nodes: Mapping[Node, float],
    at_once: int | None,
    progress: Progress = silent,
) -> torch.Tensor:
    """Metrics [2, n], float64, of all prompts as they are and with nodes scaled; both are rows of the same runs."""
    count = sum(map(len, batches))
    found = torch.full((2, count), torch.nan, dtype=torch.float64)
    tokens = min(TOKENS_AT_ONCE, ENTRIES // max((sae.width for sae in dictionaries.values()), default=1))
    done = 0
    for whole in batches:
        step = at_once or max(1, tokens // (2 * whole.clean.shape[1]))
        for begin in range(0, len(whole), step):
            progress(done, count, f"{done} of {count} prompts", found if done else None)
            batch = whole.take(begin, begin + step)
            found[:, batch.rows] = _metrics(model, batch, _edits(dictionaries, nodes, batch.counted))
            done += len(batch)
    return found


def _metrics(model: Runner, batch: Batch, edits: Mapping[str, Edit]) -> torch.Tensor:
    """Metrics [2, n] of a batch as it is and as it is edited."""
    reads, rows = batch.metric.reads, torch.arange(len(batch)).repeat(2)

    def then(values: dict[str, torch.Tensor]) -> torch.Tensor:
        return batch.metric.measure(model, values[reads], rows).double().cpu()

    metric: torch.Tensor = model.run(batch.clean.repeat(2, 1).tolist(), [reads], edit=edits, then=then)
    return metric.view(2, len(batch))


def _edits(
    dictionaries: Mapping[str, Dictionary], nodes: Mapping[Node, float], counted: torch.Tensor
) -> dict[str, Edit]:
    """What is done at each site to the second half of the rows; the first is left as it is. `counted` [n, T]."""
    return {
        site: _scaled(sae, {node: factor for node, factor in nodes.items() if node.site == site}, counted)
        for site, sae in dictionaries.items()
    }


def _scaled(sae: Dictionary, nodes: Mapping[Node, float], counted: torch.Tensor) -> Edit:
    """Scales nodes of one site in the second n of 2 n rows. One with a position goes before the same without."""
    atoms = sorted({node.atom for node in nodes if node.atom is not None})
    more = torch.zeros(*counted.shape, len(atoms))
    more_error = torch.zeros(*counted.shape, 1)
    for node, factor in sorted(nodes.items(), key=lambda item: item[0].position is not None):
        into = more_error[..., 0] if node.atom is None else more[..., atoms.index(node.atom)]
        here = torch.arange(counted.shape[1]) == node.position
        into[counted if node.position is None else counted & here] = factor - 1

    def edit(x: torch.Tensor) -> torch.Tensor:
        own = sae if sae.W_enc.device == x.device else sae.to(x.device)
        as_they_are, changed = x.split(len(counted))
        given, chosen = changed.float(), torch.tensor(atoms, dtype=torch.long, device=x.device)
        moved = (amounts_of(own, given, chosen) * more.to(x.device)) @ own.W_dec[chosen]
        if more_error.any():
            moved = moved + (given - own.decode(own.encode(given), given)) * more_error.to(x.device)
        return torch.cat([as_they_are, (given + moved).to(x)])

    return edit


def _frame(
    model: Session, logits: torch.Tensor, metric: list[float], answers: list[int], foils: list[int], top: int
) -> pl.DataFrame:
    likeliest = logits.argsort(descending=True, stable=True)[:, :top].flatten().tolist()
    listed = list(dict.fromkeys([*likeliest, *answers, *foils]))
    listed.sort(key=lambda token: -float(logits[:, token].max()))
    columns = {
        "token_id": listed,
        "token": [model.text_of(token) for token in listed],
        "role": ["answer" if token in answers else "foil" if token in foils else "" for token in listed],
        "metric": [metric[0]] * len(listed),
        "changed_metric": [metric[1]] * len(listed),
    }
    for run, prefix in zip(logits, ("", "changed_"), strict=True):
        columns[f"{prefix}rank"] = [1 + int((run > run[token]).sum()) for token in listed]
        columns[f"{prefix}probability"] = run.softmax(-1)[listed].tolist()
        columns[f"{prefix}logit"] = run[listed].tolist()
    return frames.build(frames.CIRCUIT_PREDICTION, columns)
