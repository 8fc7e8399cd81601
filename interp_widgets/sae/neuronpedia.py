"""Neuronpedia: the page of an atom there, and the JSON of one (docs/neuronpedia.md says where its fields were read).

Files may come from strangers: what does not fit is refused with a sentence, and text stays data.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl

from .. import frames
from ..errors import FrameError
from .dictionary import Dictionary
from .neuronpedia_fields import LARGEST, Fields

SITE = "https://www.neuronpedia.org"
DASHBOARD = {
    "bin_min": "binMin",
    "bin_max": "binMax",
    "bin_contains": "binContains",
    "qualifying_token_index": "qualifyingTokenIndex",
}
"""Fields of an activation as SAEDashboard writes them -> as Neuronpedia does."""
TOP = -1.0
"""binMin of the strongest examples."""
NO_LOGIT = -10_000.0
"""A logit weight that is not known."""
UNKNOWN_ID = -1
"""In place of vocabulary ids, which the files do not have."""
MOST_BYTES, MOST_EXAMPLES, MOST_TOKENS = 256 * 2**20, 10_000, 20_000


def page(sae: Dictionary, atom: int) -> str:
    """Address of an atom at Neuronpedia, where the dictionary says under which name it is there; else ""."""
    name = sae.origin.get("neuronpedia")
    known = isinstance(name, str) and re.fullmatch(r"[\w.-]+/[\w.-]+", name, re.ASCII)
    return f"{SITE}/{name}/{atom}" if known else ""


@dataclass(frozen=True, eq=False)
class NeuronpediaFeature:
    """One atom as a file of Neuronpedia has it. Made by `iw.read_neuronpedia`; `iw.Examples(feature.examples)` shows it."""

    atom: int
    model: str
    """The model's name there; "" if the file does not say."""
    source: str
    """The dictionary's name there, such as "8-res-jb"; "" if the file does not say."""
    density: float | None
    """Share of the tokens that it fires on; None if not known."""
    maximum: float | None
    """Its largest activation; None if not known."""
    examples: pl.DataFrame
    """See `frames.ATOM_EXAMPLES` and what `iw.read_neuronpedia` says of it."""
    histogram: pl.DataFrame
    """How strongly it fires (see `frames.ATOM_HISTOGRAM`); no rows if the file has none."""
    similar: pl.DataFrame
    """Atoms with a similar direction (see `frames.SIMILAR_ATOMS`); no rows if the file has none."""
    promoted: list[tuple[str, float | None]]
    """Tokens that it adds to most on the direct way, with their logit weights; None where not known."""
    suppressed: list[tuple[str, float | None]]
    """Tokens that it adds to least."""
    explanations: list[str]
    """What was written there about it."""
    notes: list[str]
    """What was left out."""


def read_neuronpedia(source: str | Path | Mapping[str, Any], atom: int | None = None) -> NeuronpediaFeature:
    """An atom out of JSON: what Neuronpedia answers at /api/feature, `iw.to_neuronpedia` writes, or SAEDashboard does for it.

    The files say less than a corpus does. In `examples`, vocabulary ids are -1. Where a file does not say which document an example
    is from, `text` counts the examples and `position` is the place in the example. `repeats` is 0. The token that an example is of
    is `qualifyingTokenIndex` if the atom fires there (and within the interval), else the one with the largest value. An activation
    of 0 can mean that it was not known. Examples in which the atom is silent are left out, as the viewer does; `notes` counts them.

    Args:
        source: path of the file, or its content as a dict.
        atom: which of the atoms in a batch of SAEDashboard; may be left out if there is one.

    Raises:
        FrameError: no such file, no JSON, fields that are missing or do not fit together, numbers that are not finite.
    """
    where, content = ("The feature", source) if isinstance(source, Mapping) else _load(Path(source).expanduser())
    batch, content = _picked(Fields(where, content), atom)
    said = Fields(where, content)
    index = said.whole("index" if "index" in content or "feature_index" not in content else "feature_index")
    if atom not in (None, index):
        raise FrameError(f"{where} is of atom {index}, not {atom}.")
    model, name = _names(said, batch)
    density, maximum = said.number("frac_nonzero", None), said.number("maxActApprox", None)
    examples, silent = _examples(index, said)
    note = f"{silent} example{'s are' if silent > 1 else ' is'} left out: the atom is silent in {'them' if silent > 1 else 'it'}."
    return NeuronpediaFeature(
        atom=index,
        model=model,
        source=name,
        density=density if density is None or 0 <= density <= 1 else None,  # -1 stands for unknown
        maximum=maximum or None,
        examples=examples,
        histogram=_histogram(index, said),
        similar=_similar(index, said),
        promoted=_logits(said, "pos"),
        suppressed=_logits(said, "neg"),
        explanations=[each.text("description", "") for each in said.objects("explanations", MOST_EXAMPLES)],
        notes=[note] if silent else [],
    )


def _load(file: Path) -> tuple[str, Any]:
    """The name of a file and its JSON."""

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is no number")

    try:
        if (size := file.stat().st_size) > MOST_BYTES:
            raise FrameError(
                f"{file} has {size:,} bytes; an atom has a few megabytes at most, and {MOST_BYTES:,} are read."
            )
        return str(file), json.loads(file.read_text(encoding="utf-8"), parse_constant=refuse)
    except OSError as error:
        raise FrameError(f"{file} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise FrameError(
            f"{file} cannot be read as JSON: {error}. Expected is what Neuronpedia answers at /api/feature."
        ) from error


def _picked(said: Fields, atom: int | None) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """(a batch of SAEDashboard or {}, the one feature)"""
    if "features" not in said.content:
        return {}, said.content
    found = {each.whole("feature_index"): each.content for each in said.objects("features", MOST_EXAMPLES)}
    if atom is None and len(found) == 1:
        [atom] = found
    if atom not in found:
        shown = ", ".join(map(str, list(found)[:8])) + (" and more" if len(found) > 8 else "")
        raise FrameError(f"{said.where} has the atoms {shown or '(none)'}; pass atom= to say which, not {atom}.")
    return said.content, found[atom]


def _names(said: Fields, batch: Mapping[str, Any]) -> tuple[str, str]:
    """Names of the model and the dictionary."""
    if "modelId" in said.content:
        return said.text("modelId"), said.text("layer", "")
    part = Fields(said.where, {**batch, **said.content})
    model, family, suffix = part.text("model_id", ""), part.text("sae_set", ""), part.text("sae_id_suffix", "")
    layer = part.content.get("layer")
    return model, f"{layer}-{family}{'__' if suffix else ''}{suffix}" if family and layer is not None else ""


def _examples(atom: int, said: Fields) -> tuple[pl.DataFrame, int]:
    """(see `frames.ATOM_EXAMPLES`, how many are left out since the atom is silent in them)"""
    rows, silent = [], 0
    for number, each in enumerate(said.objects("activations", MOST_EXAMPLES, needed=True)):
        row = _example(number, each)
        if row is None:
            silent += 1
        else:
            rows.append(row)
    number_of = _intervals({(row["low"], row["high"]) for row in rows if row["kind"] == "interval"})
    for row in rows:
        row |= {"atom": atom, "interval": number_of.get((row["low"], row["high"]))}
    # The strongest by activation; a draw stays in its order.
    rows.sort(key=lambda row: (row["kind"] != "top", row["interval"] or 0, -row["activation"] * (row["kind"] == "top")))
    seen: dict[int | None, int] = {}
    for row in rows:
        row["rank"] = seen[row["interval"]] = seen.get(row["interval"], 0) + 1
    columns = {name: [row[name] for row in rows] for name in frames.ATOM_EXAMPLES}
    return frames.build(frames.ATOM_EXAMPLES, columns), silent


def _intervals(bounds: set[tuple[float, float]]) -> dict[tuple[float, float], int]:
    """The number of each interval, the weakest first; those without examples count where the others show their places."""
    equal = {(low, high): round(low / (high - low)) if high > low else 0 for low, high in bounds}
    close = all(abs(low - number * (high - low)) < (high - low) / 4 for (low, high), number in equal.items())
    if close and len(set(equal.values())) == len(bounds) and min(equal.values(), default=0) >= 0:
        return equal
    return {bound: number for number, bound in enumerate(sorted(bounds))}


def _example(number: int, said: Fields) -> dict[str, Any] | None:
    """One example as a row, but for atom, interval and rank; None if the atom is silent in it."""
    fields = Fields(said.where, {DASHBOARD.get(name, name): value for name, value in said.content.items()})
    tokens, values = fields.texts("tokens", MOST_TOKENS), fields.numbers("values", MOST_TOKENS)
    if len(tokens) != len(values) or not tokens:
        raise FrameError(
            f"{said.where} has {len(tokens)} tokens and {len(values)} values; it must have one value a token, and at least one."
        )
    low, high = fields.number("binMin", None), fields.number("binMax", None)
    top = low is None or high is None or low == TOP
    if not top and low > high:  # type: ignore[operator]
        raise FrameError(f"{said.where} has binMin {low} above binMax {high}.")
    if max(values) <= 0:
        return None
    at = fields.content.get("qualifyingTokenIndex")
    fires = type(at) is int and 0 <= at < len(values) and values[at] > 0
    if not fires or not (top or low <= values[at] <= high):  # type: ignore[index,operator]
        at = values.index(max(values))
    place = re.fullmatch(r"(\d{1,9}):(\d{1,9})", fields.text("dataIndex", ""), re.ASCII)
    text, position = (int(place[1]), int(place[2])) if place else (number, at)
    return {
        "kind": "top" if top else "interval",
        "low": None if top else low,
        "high": None if top else high,
        "activation": values[at],  # type: ignore[index]
        "text": text,
        "source": fields.text("dataSource", ""),
        "position": position,
        "token_id": UNKNOWN_ID,
        "token": tokens[at],  # type: ignore[index]
        "repeats": 0,
        "tokens": tokens,
        "token_ids": [UNKNOWN_ID] * len(tokens),
        "activations": values,
        "at": at,
    }


def _histogram(atom: int, said: Fields) -> pl.DataFrame:
    """Bars have a middle and a height; their ends follow from the distance of the middles."""
    middle, height = said.pair("freq_hist_data_bar_values", "freq_hist_data_bar_heights", MOST_TOKENS)
    if any(b <= a for a, b in pairwise(middle)) or any(h % 1 or not 0 <= h < 2**53 for h in height):
        raise FrameError(
            f"{said.where}: freq_hist_data must have bars from left to right, whose heights are numbers of tokens."
        )
    half = (middle[1] - middle[0]) / 2 if len(middle) > 1 else sum(middle)
    columns = {
        "atom": [atom] * len(middle),
        "low": [m - half for m in middle],
        "high": [m + half for m in middle],
        "count": height,
    }
    return frames.build(frames.ATOM_HISTOGRAM, columns)


def _similar(atom: int, said: Fields) -> pl.DataFrame:
    """The list there begins with the atom itself, which is left out here."""
    index, cosine = said.pair("topkCosSimIndices", "topkCosSimValues", MOST_TOKENS)
    if any(i % 1 or not 0 <= i <= LARGEST for i in index):
        raise FrameError(f"{said.where}: topkCosSimIndices must be numbers of atoms.")
    rows = [(int(i), c) for i, c in zip(index, cosine, strict=True) if i != atom]
    columns = {"atom": [i for i, _ in rows], "rank": range(1, len(rows) + 1), "cosine": [c for _, c in rows]}
    return frames.build(frames.SIMILAR_ATOMS, columns)


def _logits(said: Fields, end: str) -> list[tuple[str, float | None]]:
    tokens, values = said.texts(f"{end}_str", MOST_TOKENS), said.numbers(f"{end}_values", MOST_TOKENS)
    if len(tokens) != len(values):
        raise FrameError(f"{said.where} has {len(tokens)} {end}_str and {len(values)} {end}_values.")
    return [(token, None if value == NO_LOGIT else value) for token, value in zip(tokens, values, strict=True)]
