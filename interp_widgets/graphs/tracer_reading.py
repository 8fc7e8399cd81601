"""Reading a graph file of circuit-tracer or Neuronpedia, or one of a circuit of ours."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from ..frames.circuits import GRAPH_EDGES, GRAPH_NODES
from ..frames.schema import build
from .graph import Graph, node_frame
from .structure import LARGEST, clean, number, whole
from .tracer_nodes import EMBEDDING, LOGIT, OWN, feature_ids, label_in, own_row, unpair, with_probability

CONTENT = "circuit_tracer"
"""Key of `Graph.facts` under which the content of the file is kept."""
_NO_ATOM = (EMBEDDING, LOGIT, "bias", "unknown")
_ID = re.compile(r"(?P<layer>\d+)_(?:[a-z]+_)?(?P<index>\d+)_(?P<position>\d+)", re.ASCII)


def read(content: Mapping[str, Any], where: str) -> Graph:
    """A graph out of content whose structure is checked; the graph keeps it.

    Raises:
        GraphError: a row of ours that does not fit its columns.
    """
    said, parameters, found = content["metadata"], content["qParams"], content["nodes"]
    ours, own = isinstance(said.get(OWN), Mapping), _mapping(said.get(OWN))
    tokens, metric = tuple(clean(each) for each in said["prompt_tokens"]), _text(own.get("metric"))
    rows = [_row(each, tokens, ours, f"{where}, nodes[{i}].{OWN}") for i, each in enumerate(found)]
    notes = _name_apart(rows)
    by_id: dict[str, list[str]] = {}
    for each, row in zip(found, rows, strict=True):
        by_id.setdefault(each["node_id"], []).append(row["node"])
    edges, stray = _edges(content["links"], by_id, ours)
    if stray:
        notes.append(f"{stray:,} of {len(content['links']):,} links are left out: the file has no node of their ids.")
    pinned, groups, unknown = _picked(parameters, by_id)
    if unknown:
        notes.append(f"{unknown:,} pins or members of groups are left out: the file has no node of their ids.")
    if hides := _hidden_there(said.get("node_threshold"), found, parameters.get("pinnedIds", ())):
        notes.append(
            f"The pages of circuit-tracer and Neuronpedia hide {hides:,} of these {len(found):,} nodes, whose influence is above "
            f"{said['node_threshold']:g}. All are here."
        )
    features = feature_ids(found, len(tokens))
    by_feature: dict[str, list[str]] = {}
    for feature, row in zip(features, rows, strict=True):
        by_feature.setdefault(feature, []).append(row["node"])
    away = dict.fromkeys(_texts(parameters.get("hiddenIds")))
    return Graph(
        nodes=node_frame(pl.DataFrame(rows, schema={name: column.dtype for name, column in GRAPH_NODES.items()})),
        edges=edges,
        tokens=() if own.get("positions") == "summed" else tokens,
        prompt=clean(said["prompt"]),
        model=clean(said["scan"]) if own.get("model") is None else _text(own["model"]),
        dictionaries=tuple(_dictionaries(said)),
        sizes={clean(site): int(size) for site, size in _mapping(own.get("sizes")).items() if whole(size)},
        metric=metric,
        asked=_cleaned(_mapping(own.get("asked"))),
        labels=_labels(found, rows, features, parameters.get("clerps"), metric if ours else None),
        groups=groups,
        pinned=pinned,
        hidden=tuple(node for feature in away for node in by_feature.get(feature, ())),
        facts={CONTENT: content},
        notes=tuple(notes),
    )


def _cleaned(value: Any) -> Any:
    """The same with all its texts clean; what it is, is for the graph to check."""
    if isinstance(value, list):
        return [_cleaned(each) for each in value]
    if isinstance(value, Mapping):
        return {clean(str(name)): _cleaned(each) for name, each in value.items()}
    return clean(value) if isinstance(value, str) else value


def _row(each: Mapping[str, Any], tokens: tuple[str, ...], ours: bool, where: str) -> dict[str, Any]:
    if ours and isinstance(each.get(OWN), Mapping):
        return own_row(each[OWN], where)
    kind, position, layer = _kind(each["feature_type"]), int(each["ctx_idx"]), _layer(each["layer"])
    return {
        "node": clean(each["node_id"]),
        "layer": None if kind == LOGIT else layer,  # of a logit it is the row above the last layer
        "position": position,
        "token": tokens[position] if position < len(tokens) else None,
        "kind": kind,
        "atom": _atom(each, layer) if kind == "atom" else None,
        "activation": each.get("activation"),
        "influence": each.get("influence"),
        "probability": each.get("token_prob") if kind == LOGIT else None,
    }


def _kind(feature_type: str) -> str:
    if "error" in feature_type:
        return "error"
    if feature_type in (EMBEDDING, LOGIT):
        return feature_type
    return "other" if feature_type in _NO_ATOM else "atom"


def _layer(said: Any) -> int | None:
    if isinstance(said, str):
        return int(said) if said.isascii() and said.isdecimal() and len(said) < 10 else None
    return int(said) if 0 <= said <= LARGEST else None


def _atom(each: Mapping[str, Any], layer: int | None) -> int | None:
    """Index in the dictionary: out of an id such as 5_253_1, else out of `feature`, which pairs it with the layer."""
    found = _ID.fullmatch(each["node_id"])
    if found and (int(found["layer"]), int(found["position"])) == (layer, each["ctx_idx"]):
        index = int(found["index"])
        return index if index <= LARGEST else None
    of_layer, index = unpair(-1 if each["feature"] is None else int(each["feature"]))
    return index if of_layer == layer and index <= LARGEST else None


def _name_apart(rows: list[dict[str, Any]]) -> list[str]:
    """Nodes of one name get `#2` and so on; a note if there are any. circuit-tracer calls the error of layer 3 at position 5
    `0_3_5`, as it does feature 3 of layer 0 there.
    """
    used: set[str] = set()
    again = 0
    for row in rows:
        name, count = row["node"], 1
        while row["node"] in used:
            count += 1
            row["node"] = f"{name}#{count}"
        again += count > 1
        used.add(row["node"])
    if not again:
        return []
    return [
        f"{again:,} of {len(rows):,} nodes have the id of another, so the file does not say which of them a link "
        "is of. It is shown at the first; of two links with the same ends, the second at the second."
    ]


def _edges(links: list[Mapping[str, Any]], by_id: Mapping[str, list[str]], ours: bool) -> tuple[pl.DataFrame, int]:
    """Columns GRAPH_EDGES, and how many links lead nowhere."""
    kept = [link for link in links if link["source"] in by_id and link["target"] in by_id]
    first = {node_id: names[0] for node_id, names in by_id.items()}
    columns: dict[str, Any] = {
        "source": [first[link["source"]] for link in kept],
        "target": [first[link["target"]] for link in kept],
        "weight": [float(link["weight"]) for link in kept],
    }
    seen: Counter[tuple[str, str]] = Counter()
    for i, link in enumerate(kept if len(first) < sum(map(len, by_id.values())) else ()):
        before = seen[link["source"], link["target"]]
        seen[link["source"], link["target"]] += 1
        for end in ("source", "target"):
            names = by_id[link[end]]
            columns[end][i] = names[min(before, len(names) - 1)]
    for end in ("low", "high"):
        columns[end] = [float(link[end]) if ours and number(link.get(end)) else None for link in kept]
    return build(GRAPH_EDGES, columns), len(links) - len(kept)


def _picked(
    parameters: Mapping[str, Any], by_id: Mapping[str, list[str]]
) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]], int]:
    """Pins, groups, and how many ids of theirs are none. A second group of one name gets a number, as in circuit-tracer's links."""
    pins: list[str] = parameters.get("pinnedIds", [])
    groups: dict[str, tuple[str, ...]] = {}
    unknown = sum(node_id not in by_id for node_id in pins)
    for title, *members in parameters.get("supernodes", []):
        name, count = clean(title), 1
        while name in groups:
            count += 1
            name = f"{clean(title)} ({count})"
        groups[name] = tuple(by_id[node_id][0] for node_id in members if node_id in by_id)
        unknown += len(members) - len(groups[name])
    return tuple(by_id[node_id][0] for node_id in pins if node_id in by_id), groups, unknown


def _hidden_there(threshold: float | None, found: list[Mapping[str, Any]], pins: Iterable[str]) -> int:
    """How many nodes their pages do not show."""
    if not threshold or threshold < 0:
        return 0
    shown = set(pins)
    return sum(
        (each.get("influence") or 0) > threshold
        and each["feature_type"] not in (EMBEDDING, LOGIT)
        and each["node_id"] not in shown
        for each in found
    )


def _labels(
    found: list[Mapping[str, Any]], rows: list[dict[str, Any]], features: list[str], clerps: Any, metric: str | None
) -> dict[str, str]:
    """Node -> label: what the reader of a page called it, else what the file does. `metric`: None if the file is none of ours."""
    anew = relabelled(clerps)
    labels = {}
    for each, row, feature in zip(found, rows, features, strict=True):
        clerp = anew.get(feature) or each["clerp"]
        said = None if metric is None or not isinstance(each.get(OWN), Mapping) else each[OWN]
        label = label_in(clerp, row, None if said is None else metric)
        exact = None if said is None else said.get("label")
        if isinstance(exact, str) and with_probability(exact, row) == clerp:
            label = clean(exact)
        if label:
            labels[row["node"]] = label
    return labels


def relabelled(clerps: Any) -> dict[str, str]:
    """Feature id -> label, out of `clerps`: a list of pairs, or its text."""
    if isinstance(clerps, str):
        try:
            clerps = json.loads(clerps)
        except (ValueError, RecursionError):
            return {}
    pairs = clerps if isinstance(clerps, list) else []
    return {
        each[0]: each[1]
        for each in pairs
        if isinstance(each, list) and len(each) == 2 and all(isinstance(text, str) for text in each)
    }


def _dictionaries(said: Mapping[str, Any]) -> list[str]:
    """Names of the dictionaries: `transcoder_list`, else the source sets at Neuronpedia."""
    listed = said.get("transcoder_list")
    if isinstance(listed, list) and listed:
        return [clean(each) for each in _texts(listed)]
    details = _mapping(said.get("feature_details"))
    sets = (details.get(name) for name in ("neuronpedia_source_set", "neuronpedia_lorsa_source_set"))
    return [clean(each) for each in sets if isinstance(each, str)]


def _text(value: Any) -> str:
    return clean(value) if isinstance(value, str) else ""


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _texts(value: Any) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []
