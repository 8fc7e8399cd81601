"""Graph files of circuit-tracer and Neuronpedia: JSON with metadata, qParams, nodes and links.

What has not changed is written as it was read: a graph keeps the content of its file, and writing replaces only the parts that
differ from it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .graph import Graph
from .structure import check_structure
from .tracer_nodes import OWN, entries, feature_ids, with_probability
from .tracer_reading import CONTENT, read, relabelled

SUMMED = ["(all", " positions)"]
"""Tokens of a circuit whose positions are summed. Two, since circuit-tracer's page drops every node of a prompt of one token."""


def read_content(content: Any, where: str) -> Graph:
    """A graph out of parsed JSON. The graph keeps the content, which must not be changed after.

    Raises:
        GraphError: it does not fit the schema; the sentence says where.
    """
    content = check_structure(content, where)
    graph = read(content, where)
    if OWN in content["metadata"]:
        plain = replace(graph, facts={})
        if _fresh(plain, content["metadata"]["slug"]) == content:  # the file holds nothing but what we would write
            return plain
    return graph


def to_content(graph: Graph, name: str) -> dict[str, Any]:
    """The JSON of a graph. `name`: its slug, if the graph has none of a file; the page of circuit-tracer looks for `slug.json`."""
    content = graph.facts.get(CONTENT)
    return _fresh(graph, _plain(name) or "circuit") if content is None else _changed(graph, content)


def _fresh(graph: Graph, slug: str) -> dict[str, Any]:
    """The content of a graph that was not read from a file of theirs."""
    nodes = entries(graph.nodes, graph.labels, graph.metric)
    ids = {name: node["node_id"] for name, node in zip(graph.nodes["node"], nodes, strict=True)}
    tokens = list(graph.tokens) or SUMMED
    return {
        "metadata": {
            "slug": slug,
            "scan": _plain(graph.model) or "unknown",
            "transcoder_list": list(graph.dictionaries),
            "prompt_tokens": tokens,
            "prompt": graph.prompt,
            "schema_version": 1,
            "info": {"generator": {"name": OWN}},
            OWN: _own(graph),
        },
        "qParams": {
            "pinnedIds": [ids[name] for name in graph.pinned],
            "supernodes": _supernodes(graph, ids),
            "linkType": "both",
            "clickedId": "",
            "sg_pos": "",
            **({"hiddenIds": _hidden(graph, nodes, len(tokens))} if graph.hidden else {}),
        },
        "nodes": nodes,
        "links": _links(graph, ids, {}),
    }


def _own(graph: Graph) -> dict[str, Any]:
    return {
        "model": graph.model,
        "metric": graph.metric,
        "positions": "apart" if graph.tokens else "summed",
        "sizes": dict(graph.sizes),
        **({"asked": dict(graph.asked)} if graph.asked else {}),
    }


def _changed(graph: Graph, content: Mapping[str, Any]) -> dict[str, Any]:
    """The content that a graph was read from, with the parts anew in which the graph is another than the file's."""
    before = read(content, "The file")
    nodes, metadata = _changed_nodes(graph, before, content)
    ids = {name: node["node_id"] for name, node in zip(graph.nodes["node"], nodes, strict=True)}
    if graph.tokens != before.tokens or graph.prompt != before.prompt:
        metadata |= {"prompt_tokens": list(graph.tokens) or SUMMED, "prompt": graph.prompt}
    if graph.dictionaries != before.dictionaries:
        metadata["transcoder_list"] = list(graph.dictionaries)
    if any(getattr(graph, name) != getattr(before, name) for name in ("model", "metric", "sizes", "asked")):
        metadata |= {"scan": _plain(graph.model) or "unknown", OWN: _own(graph)}
    parameters = dict(content["qParams"])
    if graph.pinned != before.pinned:
        parameters["pinnedIds"] = [ids[name] for name in graph.pinned]
    if graph.groups != before.groups:
        parameters["supernodes"] = _supernodes(graph, ids)
    if graph.hidden != before.hidden:
        parameters["hiddenIds"] = _hidden(graph, nodes, len(metadata["prompt_tokens"]))
    if graph.labels != before.labels and "clerps" in parameters:
        kept = dict(zip(feature_ids(nodes, len(metadata["prompt_tokens"])), graph.nodes["node"], strict=True))
        parameters["clerps"] = [
            [feature, label]
            for feature, label in relabelled(parameters["clerps"]).items()
            if feature not in kept or graph.labels.get(kept[feature]) == before.labels.get(kept[feature])
        ]
    links = content["links"]
    if not graph.edges.equals(before.edges):
        links = _links(graph, ids, {(link["source"], link["target"]): link for link in content["links"]})
    return {**content, "metadata": metadata, "qParams": parameters, "nodes": nodes, "links": links}


def _changed_nodes(
    graph: Graph, before: Graph, content: Mapping[str, Any]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Entries and metadata. A node of the file keeps its entry; a row that is another now stands in it under our key."""
    there = {
        row["node"]: (row, each) for row, each in zip(before.nodes.iter_rows(named=True), content["nodes"], strict=True)
    }
    metadata = dict(content["metadata"])
    nodes = []
    fresh = entries(graph.nodes, graph.labels, graph.metric)
    for row, new in zip(graph.nodes.iter_rows(named=True), fresh, strict=True):
        old_row, old = there.get(row["node"], (None, new))
        if row != old_row:
            metadata.setdefault(OWN, _own(graph))
            old = old | {name: new[name] for name in ("activation", "influence", OWN)}
        label = graph.labels.get(row["node"], "")
        if label != before.labels.get(row["node"], ""):
            old = old | {"clerp": with_probability(label, row) if label else ""}
        nodes.append(old)
    return nodes, metadata


def _links(
    graph: Graph, ids: Mapping[str, str], known: Mapping[tuple[str, str], Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """A link per edge. `known`: links of the file by their ends, whose further keys are kept."""
    links = []
    for edge in graph.edges.iter_rows(named=True):
        ends = ids[edge["source"]], ids[edge["target"]]
        interval = {end: edge[end] for end in ("low", "high") if edge[end] is not None}
        links.append(
            {**known.get(ends, {}), "source": ends[0], "target": ends[1], "weight": edge["weight"], **interval}
        )
    return links


def _supernodes(graph: Graph, ids: Mapping[str, str]) -> list[list[str]]:
    return [[name, *(ids[node] for node in members)] for name, members in graph.groups.items()]


def _hidden(graph: Graph, nodes: list[dict[str, Any]], n_tokens: int) -> list[str]:
    features = dict(zip(graph.nodes["node"], feature_ids(nodes, n_tokens), strict=True))
    return [features[name] for name in graph.hidden]


def _plain(name: str) -> str:
    """A name of letters, digits and `_.-` alone, as Neuronpedia wants a slug and a model's name."""
    return re.sub(r"[^a-zA-Z0-9_.-]+", "-", name).strip("-")[:100]
