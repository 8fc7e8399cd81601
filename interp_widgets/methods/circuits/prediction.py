"""What a model predicts with nodes of a circuit switched off, weakened or made stronger, all in one run.

A node's value is multiplied by its factor as the run goes by, so nodes downstream of others see what these have become. An atom
moves the activation by (factor - 1) a d, the error by (factor - 1) (x - x_hat).
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl
import torch

from ... import frames
from ...errors import TextError
from ...frames.circuits import Node, parse_node
from ...sae.dictionary import Dictionary
from ...session.runner import Runner
from ...session.session import Session, Text
from .dictionaries import Given, check_sites, dictionaries_of
from .kept import Edit, amounts_of
from .prompts import Batch, Tokens, prompts_of

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
    found, (batch,) = dictionaries_of(model, dictionaries), prompts.batches
    nodes = {_checked(name, batch): float(factor) for name, factor in scales.items()}
    sites = {node.site for node in nodes}
    check_sites(sites, found)
    used = {site: found[site] for site in found if site in sites}
    for node in nodes:
        if node.atom is not None:
            used[node.site].check_atom(node.atom)
    logits, metric = model.work(_predict, batch, used, nodes)
    return _frame(model, logits, metric.tolist(), prompts.answers[0], prompts.foils[0], top)


def _checked(name: str, batch: Batch) -> Node:
    """A node of the prompt, from its name."""
    node = parse_node(name)
    if node is None:
        raise TextError(f"{name!r} is no node. Its name is site/atom or site/error, perhaps with @position behind it.")
    at = node.position
    if at is not None and not (at < batch.counted.shape[1] and batch.counted[0, at]):
        raise TextError(
            f"{name} is at a token that has no nodes: there is none, or it is a marker or an attention sink."
        )
    return node


def _predict(
    model: Runner, batch: Batch, dictionaries: Mapping[str, Dictionary], nodes: Mapping[Node, float]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits [2, vocabulary] and metric [2] of the prompt as it is and with nodes scaled: two rows of one run."""
    edit = {
        site: _scaled(sae, {node: factor for node, factor in nodes.items() if node.site == site}, batch.counted[0])
        for site, sae in dictionaries.items()
    }

    def then(values: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        normed = values["final_norm"]
        metric = batch.metric.measure(model, values[batch.metric.reads], torch.zeros(2, dtype=torch.long))
        return model.head(normed[:, -1]).double().cpu(), metric.double().cpu()

    read = dict.fromkeys(["final_norm", batch.metric.reads])
    found: tuple[torch.Tensor, torch.Tensor] = model.run(
        batch.clean.repeat(2, 1).tolist(), list(read), edit=edit, then=then
    )
    return found


def _scaled(sae: Dictionary, nodes: Mapping[Node, float], counted: torch.Tensor) -> Edit:
    """Scales nodes of one site in the second of two rows."""
    atoms = sorted({node.atom for node in nodes if node.atom is not None})
    more = torch.zeros(len(counted), len(atoms))
    more_error = torch.zeros(len(counted), 1)
    for node, factor in sorted(nodes.items(), key=lambda item: item[0].position is not None):
        into = more_error[:, 0] if node.atom is None else more[:, atoms.index(node.atom)]
        into[counted if node.position is None else node.position] = factor - 1

    def edit(x: torch.Tensor) -> torch.Tensor:
        own = sae if sae.W_enc.device == x.device else sae.to(x.device)
        given, chosen = x[1].float(), torch.tensor(atoms, dtype=torch.long, device=x.device)
        moved = (amounts_of(own, given, chosen) * more.to(x.device)) @ own.W_dec[chosen]
        if more_error.any():
            moved = moved + (given - own.decode(own.encode(given), given)) * more_error.to(x.device)
        return torch.stack([x[0], (given + moved).to(x)])

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
