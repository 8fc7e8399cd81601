"""Files that are no graph of circuit-tracer: each fault with its sentence, and nothing else comes out."""

from __future__ import annotations

import json
from typing import Any

import pytest

import interp_widgets as iw
from interp_widgets.errors import GraphError
from tests.graphs.samples import circuit, tracer

GONE = object()
OBJECT = "but must be an object with metadata, qParams, nodes and links"


def broken(path: tuple[str | int, ...], value: Any) -> Any:
    """A good file with one thing in it replaced, or left out."""
    content = tracer(0)
    part: Any = content
    for step in path[:-1]:
        part = part[step]
    if value is GONE:
        del part[path[-1]]
    else:
        part[path[-1]] = value
    return content


def refused(source: Any) -> str:
    with pytest.raises(GraphError) as caught:
        iw.read_graph(source)
    return str(caught.value)


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        (("metadata",), GONE, "it has no metadata"),
        (("qParams",), GONE, "it has no qParams"),
        (("nodes",), GONE, "it has no nodes"),
        (("links",), GONE, "it has no links"),
        (("metadata",), [], "metadata is a list, but must be an object"),
        (("qParams",), None, "qParams is null, but must be an object"),
        (("nodes",), {}, "nodes is an object, but must be a list"),
        (("links",), "x", "links is the text 'x', but must be a list"),
        (("metadata", "slug"), GONE, "metadata has no slug"),
        (("metadata", "scan"), 3, "metadata.scan is the number 3, but must be a text"),
        (("metadata", "prompt"), None, "metadata.prompt is null, but must be a text"),
        (("metadata", "prompt_tokens"), "a b", "metadata.prompt_tokens is the text 'a b', but must be a list of texts"),
        (("metadata", "prompt_tokens", 1), 5, "metadata.prompt_tokens is a list, but must be a list of texts"),
        (
            ("metadata", "node_threshold"),
            "0.8",
            "metadata.node_threshold is the text '0.8', but must be a finite number",
        ),
        (("metadata", "feature_details"), 1, "metadata.feature_details is the number 1, but must be an object"),
        (("metadata", "info"), [], "metadata.info is a list, but must be an object"),
        (("qParams", "pinnedIds"), "a,b", "qParams.pinnedIds is the text 'a,b', but must be a list of texts"),
        (("qParams", "pinnedIds", 0), 3, "qParams.pinnedIds is a list, but must be a list of texts"),
        (
            ("qParams", "supernodes", 0),
            [],
            "qParams.supernodes is a list, but must be a list of lists of texts, each a name and",
        ),
        (("qParams", "linkType"), 1, "qParams.linkType is the number 1, but must be a text"),
        (("nodes", 3), None, "nodes[3] is null, but must be an object"),
        (("nodes", 3, "node_id"), GONE, "nodes[3] has no node_id"),
        (("nodes", 3, "node_id"), 7, "nodes[3].node_id is the number 7, but must be a text"),
        (("nodes", 3, "feature"), "7", "nodes[3].feature is the text '7', but must be a whole number or null"),
        (("nodes", 3, "feature"), True, "nodes[3].feature is true, but must be a whole number or null"),
        (("nodes", 3, "feature"), 1.5, "nodes[3].feature is the number 1.5, but must be a whole number or null"),
        (("nodes", 3, "layer"), None, "nodes[3].layer is null, but must be a text or a whole number"),
        (("nodes", 3, "ctx_idx"), -1, "nodes[3].ctx_idx is the number -1, but must be the index of a token"),
        (("nodes", 3, "ctx_idx"), 10**12, "nodes[3].ctx_idx is the number 1e+12, but must be the index of a token"),
        (("nodes", 3, "feature_type"), None, "nodes[3].feature_type is null, but must be a text"),
        (("nodes", 3, "jsNodeId"), GONE, "nodes[3] has no jsNodeId"),
        (("nodes", 3, "clerp"), None, "nodes[3].clerp is null, but must be a text"),
        (
            ("nodes", 3, "influence"),
            "high",
            "nodes[3].influence is the text 'high', but must be a finite number or null",
        ),
        (
            ("nodes", 3, "activation"),
            float("nan"),
            "nodes[3].activation is a number that is not finite, but",
        ),
        (("nodes", 3, "token_prob"), [], "nodes[3].token_prob is a list, but must be a finite number or null"),
        (("links", 2), "a->b", "links[2] is the text 'a->b', but must be an object"),
        (("links", 2, "source"), None, "links[2].source is null, but must be a text"),
        (("links", 2, "target"), GONE, "links[2] has no target"),
        (("links", 2, "weight"), GONE, "links[2] has no weight"),
        (("links", 2, "weight"), "1", "links[2].weight is the text '1', but must be a finite number"),
        (("links", 2, "weight"), None, "links[2].weight is null, but must be a finite number"),
        (
            ("links", 2, "weight"),
            float("inf"),
            "links[2].weight is a number that is not finite, but must be a finite number",
        ),
        (
            ("links", 2, "weight"),
            10**400,
            "links[2].weight is a number that is not finite, but must be a finite number",
        ),
    ],
)
def test_each_fault_has_its_sentence(path, value, fault) -> None:
    assert refused(broken(path, value)).startswith(f"The graph is no circuit-tracer graph: {fault}")


def test_the_good_file_that_they_are_made_of() -> None:
    iw.read_graph(tracer(0))


def test_several_faults_are_counted() -> None:
    content = tracer(0)
    for node in content["nodes"]:
        node["clerp"] = 1
    sentence = refused(content)
    assert "nodes[0].clerp" in sentence
    assert "nodes[2].clerp" in sentence
    assert "nodes[3]" not in sentence
    assert sentence.endswith(f"; and {len(content['nodes']) - 3} more.")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "cannot be read as JSON: Expecting value"),
        ("{", "cannot be read as JSON: Expecting property name"),
        ('{"metadata": NaN}', "cannot be read as JSON: NaN is no number"),
        ('{"nodes": [{"influence": -Infinity}]}', "cannot be read as JSON: -Infinity is no number"),
        ("[" * 100_000, "nested too deeply to be read"),
        ('{"a":' * 100_000, "nested too deeply to be read"),
        ("[1, 2]", f"it is a list, {OBJECT}"),
        ("null", f"it is null, {OBJECT}"),
        ("1e999", f"it is a number that is not finite, {OBJECT}"),
        ("9" * 5000, "cannot be read as JSON: Exceeds the limit"),
    ],
)
def test_what_is_no_json_of_a_graph(tmp_path, text, fault) -> None:
    file = tmp_path / "graph.json"
    file.write_text(text)
    assert fault in refused(file)


def test_bytes_that_are_no_text(tmp_path) -> None:
    file = tmp_path / "graph.json"
    file.write_bytes(b'{"metadata": "\xff\xfe"}')
    assert "cannot be read as JSON: 'utf-8' codec" in refused(file)


def test_a_number_beyond_any_float_in_a_file(tmp_path) -> None:
    file = tmp_path / "graph.json"
    file.write_text(json.dumps(tracer(0)).replace('"weight": ', '"weight": 1e999, "w": ', 1))
    assert "links[0].weight is a number that is not finite" in refused(file)


def test_what_lies_deep_in_a_part_that_nobody_reads(tmp_path) -> None:
    """It comes back if Python can read it, and is refused with a sentence if not."""
    for depth in (50, 100_000):
        file = tmp_path / f"{depth}.json"
        file.write_text(json.dumps(tracer(0))[:-1] + ', "deep": ' + "[" * depth + "]" * depth + "}")
        if depth == 50:
            assert json.loads(iw.read_graph(file).save(tmp_path / "again.json").read_text()) == json.loads(
                file.read_text()
            )
        else:
            assert "nested too deeply" in refused(file)


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ({"node": 3}, "nodes[0].interp_widgets.node is the number 3, but must be a text"),
        ({"node": None}, "nodes[0].interp_widgets has no node"),
        ({"kind": None}, "nodes[0].interp_widgets has no kind"),
        ({"layer": "2"}, "nodes[0].interp_widgets.layer is the text '2', but must be a number"),
        ({"layer": 2**40}, "nodes[0].interp_widgets.layer is the number 1.09951e+12, but must be a number"),
        ({"effect": True}, "nodes[0].interp_widgets.effect is true, but must be a number"),
        (
            {"effect": float("nan")},
            "nodes[0].interp_widgets.effect is a number that is not finite, but must be a number",
        ),
        ({"kind": "foo"}, "A node is of the kind 'foo'"),
    ],
)
def test_rows_that_someone_wrote_in_our_name(tmp_path, row, fault) -> None:
    content = json.loads(circuit(1).save(tmp_path / "graph.json").read_text())
    content["nodes"][0]["interp_widgets"] |= row
    assert fault in refused(content)


@pytest.mark.parametrize("odd", [None, 3, [], {"metric": 3, "model": [], "sizes": {"a": "b"}, "positions": {}}])
def test_a_key_of_ours_that_holds_something_else(odd) -> None:
    content = tracer(0)
    content["metadata"]["interp_widgets"] = odd
    for node in content["nodes"]:
        node["interp_widgets"] = odd if not isinstance(odd, dict) else None
    graph = iw.read_graph(content)
    assert graph.nodes.height == len(content["nodes"])
    assert graph.sizes == {}


@pytest.mark.parametrize("odd", [None, 3, "x", "[[", {"a": 1}, [["a"]], [["a", 3]], [3]])
def test_parts_that_no_schema_knows_may_hold_anything(odd) -> None:
    content = tracer(0)
    labels = iw.read_graph(content).labels
    content["qParams"] |= {"hiddenIds": odd, "clerps": odd}
    content["metadata"] |= {"transcoder_list": odd}
    graph = iw.read_graph(content)
    assert graph.hidden == ()
    assert graph.labels == labels
