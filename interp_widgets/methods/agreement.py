"""Agreement: one text in two sessions, layer by layer.

In every cell of the logit lens (see `logit_lens`), the last row being the models' own output: the likeliest token of both
sessions, and the total variation distance of their distributions, TV(p, q) = 1/2 sum |p - q|, the largest difference that the
two can make to the probability of any event (Levin, Peres and Wilmer, "Markov Chains and Mixing Times", section 4.1).

It tells whether a model elsewhere, in another dtype or on another backend, is the model that is here. Two sessions that
compute the same in other roundings differ by what the coarser dtype rounds: see the page of the panel for measured sizes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import zip_longest

import polars as pl
import torch

from .. import frames
from ..errors import SiteError, TextError
from ..progress import Progress, silent
from ..session.masking import sinks
from ..session.session import Session, Text
from .agreement_run import AgreementRun, Asked, run_pair
from .choices import layers_of, positions_of

LISTED, DRAWN = 64, 192
"""Tokens compared in each cell where not all are: the likeliest of one session, and others that it draws from the rest."""

TIE = 0.75
"""A disagreement is a near tie where each session gives the other's token at least this share of its own token's probability."""

SESSIONS = ("model", "other")


def agreement(
    model: Session,
    other: Session,
    text: Text,
    *,
    layers: Sequence[int] | None = None,
    positions: Sequence[int] | None = None,
    sampled: bool | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> pl.DataFrame:
    """How far two sessions agree, one row per layer and position (see `frames.AGREEMENT`).

    Args:
        model: a session.
        other: a session that reads the text as the same tokens. Where it has another number of layers, only the outputs are
            compared; where its streams have another width, `residual_difference` is null; a token that one vocabulary does
            not have counts as one of probability 0.
        text: a text, or token ids.
        layers: which layers, default all.
        positions: which positions, default all.
        sampled: False compares the whole vocabulary, which needs both distributions in one place; True compares the 64
            likeliest tokens of one session and 192 drawn from the rest, and gives the standard error of what follows.
            Default: sampled where a session is remote, or recorded.
        seed: of those draws.
        progress: see `progress.Progress`.

    Raises:
        TextError: the sessions read the text as different tokens; an empty or too long text; a position that does not exist.
        SiteError: a layer that does not exist, or cannot be compared.
    """
    run = run_agreement(
        model, other, text, layers=layers, positions=positions, top_k=1, sampled=sampled, seed=seed, progress=progress
    )
    return agreement_frame(model, other, run)


def agreement_tokens(
    model: Session,
    other: Session,
    text: Text,
    *,
    layers: Sequence[int] | None = None,
    positions: Sequence[int] | None = None,
    top_k: int = 5,
    sampled: bool | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> pl.DataFrame:
    """The likeliest tokens of both sessions in each cell (see `frames.AGREEMENT_TOKENS`). Arguments and errors as `agreement`;
    `top_k` is how many to list.
    """
    run = run_agreement(
        model,
        other,
        text,
        layers=layers,
        positions=positions,
        top_k=top_k,
        sampled=sampled,
        seed=seed,
        progress=progress,
    )
    return tokens_frame(model, other, run)


def agreement_summary(frame: pl.DataFrame) -> pl.DataFrame:
    """A frame of `agreement` in two rows, all cells and the output; masked ones are left out (see `frames.AGREEMENT_SUMMARY`).

    Raises:
        FrameError: another kind of frame.
    """
    frame = frames.check(frame, frames.AGREEMENT)
    cells = frame.filter(~pl.col("masked"))
    parts = {"all": cells, "output": cells.filter(pl.col("layer") == frame["layer"].max())}
    rows = []
    for name, part in parts.items():
        known = part.filter(pl.col("total_variation").is_not_null()).sort("total_variation", maintain_order=True)
        worst = known.row(-1, named=True) if len(known) else {}
        rows.append(
            {
                "part": name,
                "cells": len(part),
                "agreeing": part["agrees"].sum(),
                "near_ties": part["near_tie"].sum(),
                "share": part["agrees"].mean(),
                "median": part["total_variation"].median(),
                "worst": worst.get("total_variation"),
                "worst_layer": worst.get("layer"),
                "worst_position": worst.get("position"),
                "residual": part["residual_difference"].median(),
            }
        )
    columns = {name: [row[name] for row in rows] for name in frames.AGREEMENT_SUMMARY}
    return frames.build(frames.AGREEMENT_SUMMARY, columns)


def run_agreement(
    model: Session,
    other: Session,
    text: Text,
    *,
    layers: Sequence[int] | None = None,
    positions: Sequence[int] | None = None,
    top_k: int = 5,
    sampled: bool | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> AgreementRun:
    """Both sessions on one text, as tensors. What one says travels to the other: from a local session, if there is one."""
    most = min(LISTED, model.vocabulary_size, other.vocabulary_size)
    if not 1 <= top_k <= most:
        raise TextError(f"top_k must lie between 1 and {most}, not {top_k}.")
    ids = same_tokens(model, other, text)
    rows, theirs = _rows(model, other, layers)
    at = positions_of(len(ids), positions)
    remote = [is_remote(model), is_remote(other)]
    swap = remote == [True, False]
    first, second = (other, model) if swap else (model, other)
    part = (any(remote) if sampled is None else sampled) and first.vocabulary_size > LISTED + DRAWN
    asked = Asked(
        ids=ids,
        layers=(theirs, rows) if swap else (rows, theirs),
        top_k=max(top_k, min(2, most)),
        listed=LISTED if part else None,
        drawn=DRAWN if part else 0,
        seed=seed,
    )
    out = run_pair(first, second, asked, at, progress)
    tokens = model.tokens(ids)
    order = [1, 0] if swap else [0, 1]
    by_first, by_second = (out[name].movedim(2, 0) for name in ("top_first", "top_second"))  # [2 lists, L, P, K]
    own, there = torch.stack([by_first[0], by_second[1]]), torch.stack([by_second[0], by_first[1]])
    return AgreementRun(
        tokens=tokens,
        layers=rows,
        positions=at,
        top_ids=out["top_ids"].movedim(2, 0)[order],
        top_probabilities=own[order],
        there=there[order],
        total_variation=out["total_variation"],
        error=out["error"],
        logit_difference=out["logit_difference"],
        residual_difference=out["residual_difference_back" if swap else "residual_difference"],
        masked=sinks(model, tokens["token_id"].to_list(), out["norms"]),
        compared=LISTED + DRAWN if part else None,
    )


def is_remote(session: Session) -> bool:
    """Whether the model is elsewhere, so that whole distributions should not travel."""
    return session.apart


def same_tokens(model: Session, other: Session, text: Text) -> list[int]:
    """The token ids of a text, which must be the same for both sessions.

    Raises:
        TextError: they are not, or mean other words; the sentence shows the first difference.
    """
    read = [[(i, session.text_of(i)) for i in session.encode(text)] for session in (model, other)]
    if read[0] != read[1]:
        at, pair = next((i, pair) for i, pair in enumerate(zip_longest(*read)) if pair[0] != pair[1])
        here, there = (f"{token[1]!r} (id {token[0]})" if token else "nothing" for token in pair)
        raise TextError(
            f"{model.name} and {other.name} read this text as different tokens: at position {at} one has {here}, the other "
            f"{there}. Agreement needs two sessions with the same tokenizer."
        )
    return [i for i, _ in read[0]]


def differences(model: Session, other: Session) -> list[str]:
    """In sentences, in what two sessions differ that bears on how to read their agreement."""
    said = []
    if model.num_layers != other.num_layers:
        said.append(
            f"{model.name} has {model.num_layers} layers and {other.name} {other.num_layers}, so only the outputs are compared."
        )
    if model.width != other.width:
        said.append(
            f"The residual streams have widths {model.width} and {other.width}, so their difference is not defined."
        )
    if model.vocabulary_size != other.vocabulary_size:
        said.append(
            f"The vocabularies have {model.vocabulary_size} and {other.vocabulary_size} entries; a token that one does not have "
            "counts as one of probability 0."
        )
    return said


def _rows(model: Session, other: Session, layers: Sequence[int] | None) -> tuple[list[int], list[int]]:
    """The layers of `model` to compare, and the layer of `other` that each is compared with."""
    rows = layers_of(model, layers)
    if model.num_layers == other.num_layers:
        return rows, rows
    output = model.num_layers - 1
    if layers is not None and rows != [output]:
        raise SiteError(
            f"{model.name} has {model.num_layers} layers and {other.name} {other.num_layers}, so only the outputs can be "
            f"compared: layers=[{output}]."
        )
    return [output], [other.num_layers - 1]


def agreement_frame(model: Session, other: Session, run: AgreementRun) -> pl.DataFrame:
    """The frame of a run (see `frames.AGREEMENT`)."""
    shape = run.total_variation.shape
    prompt = run.tokens["token_id"].gather(run.positions).to_list()
    agrees, near_tie = verdicts(run)
    columns: dict[str, object] = {
        "layer": [layer for layer in run.layers for _ in run.positions],
        "position": run.positions * shape[0],
        "prompt_token_id": prompt * shape[0],
        "prompt_token": [model.text_of(i) for i in prompt] * shape[0],
        "agrees": agrees.flatten().tolist(),
        "near_tie": near_tie.flatten().tolist(),
        "total_variation": _numbers(run.total_variation),
        "total_variation_error": _numbers(run.error),
        "logit_difference": _numbers(run.logit_difference),
        "residual_difference": _numbers(run.residual_difference),
        "masked": [p in run.masked for p in run.positions] * shape[0],
    }
    for i, (prefix, session) in enumerate((("", model), ("other_", other))):
        ids, p = run.top_ids[i, ..., 0], run.top_probabilities[i]
        columns[f"{prefix}token_id"] = ids.flatten().tolist()
        columns[f"{prefix}token"] = [session.text_of(t) for t in ids.flatten().tolist()]
        columns[f"{prefix}probability"] = _numbers(p[..., 0])
        columns[f"{prefix}margin"] = _numbers(p[..., 0] - p[..., 1])
    return frames.build(frames.AGREEMENT, columns)


def tokens_frame(model: Session, other: Session, run: AgreementRun, top_k: int | None = None) -> pl.DataFrame:
    """The listed tokens of a run, by default all (see `frames.AGREEMENT_TOKENS`)."""
    ids = run.top_ids[..., :top_k].movedim(0, 2)  # [L, P, 2, K]
    count, positions, _, k = ids.shape
    sessions = (model, other)
    columns = {
        "layer": [layer for layer in run.layers for _ in range(positions * 2 * k)],
        "position": [p for p in run.positions for _ in range(2 * k)] * count,
        "session": [name for name in SESSIONS for _ in range(k)] * (count * positions),
        "rank": list(range(1, k + 1)) * (count * positions * 2),
        "token_id": ids.flatten().tolist(),
        "token": [sessions[i // k % 2].text_of(t) for i, t in enumerate(ids.flatten().tolist())],
        "probability": _numbers(run.top_probabilities[..., :top_k].movedim(0, 2)),
        "probability_there": _numbers(run.there[..., :top_k].movedim(0, 2)),
    }
    return frames.build(frames.AGREEMENT_TOKENS, columns)


def verdicts(run: AgreementRun) -> tuple[torch.Tensor, torch.Tensor]:
    """[L, P] each: the likeliest token is the same; it is not, but nearly might be."""
    finite = run.total_variation.isfinite()
    same = (run.top_ids[0, ..., 0] == run.top_ids[1, ..., 0]) & finite
    # what each session gives the other's token, as a share of what it gives its own
    shares = run.there.flip(0)[..., 0] / run.top_probabilities[..., 0]
    return same, ~same & finite & (shares >= TIE).all(0)


def _numbers(values: torch.Tensor) -> list[float | None]:
    """As a column: null for what is not a finite number."""
    return [x if math.isfinite(x) else None for x in values.flatten().tolist()]
