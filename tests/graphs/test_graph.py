"""The structure: what holds together, what does not, and what needs neither a model nor torch."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import polars as pl
import pytest

import interp_widgets as iw
from interp_widgets import frames
from interp_widgets.errors import FrameError, GraphError
from tests.graphs.samples import PAPER, circuit, tracer
from tests.layers import fresh


def test_the_frames_of_a_circuit_and_the_answer() -> None:
    graph = circuit(1)
    ours = graph.nodes.filter(pl.col("node") != "answer").select(list(frames.CIRCUIT_NODES))
    frames.check(ours.with_columns(pl.col("token")), frames.CIRCUIT_NODES)
    answer = graph.nodes.row(-1, named=True)
    last = len(graph.tokens) - 1
    assert (answer["node"], answer["kind"], answer["position"], answer["token"]) == (
        "answer",
        "logit",
        last,
        graph.tokens[-1],
    )
    frames.check(graph.edges, frames.CIRCUIT_EDGES)


def test_no_edges_and_summed_positions() -> None:
    summed = circuit(3)
    nodes = summed.nodes.filter(pl.col("node") != "answer").select(list(frames.CIRCUIT_NODES))
    graph = iw.Graph.of(nodes)
    assert graph.edges.height == 0
    assert graph.nodes["position"].null_count() == graph.nodes.height == nodes.height + 1


@pytest.mark.parametrize("ending", ["json", "pt"])
def test_a_circuit_out_of_a_file_as_methods_take_it(tmp_path, ending) -> None:
    graph = circuit(2, PAPER)
    nodes = iw.read_graph(graph.save(tmp_path / f"graph.{ending}")).circuit_nodes()
    frames.check(nodes, frames.CIRCUIT_NODES)
    known = (
        list(frames.CIRCUIT_NODES)
        if ending == "json"
        else ["node", "site", "layer", "position", "kind", "atom", "effect"]
    )
    assert nodes.sort("node").select(known).equals(graph.circuit_nodes().sort("node").select(known))
    if ending == "pt":
        assert nodes.select(pl.col("activation", "corrupt_activation").is_nan().all()).row(0) == (True, True)
        assert set(nodes.select("prompts", "method").rows()) == {(3, "unknown")}


def test_a_graph_of_circuit_tracer_is_no_circuit_to_measure() -> None:
    with pytest.raises(
        GraphError, match=r"does not say its site, so this graph is no circuit that a method could measure"
    ):
        iw.read_graph(tracer(0)).circuit_nodes()


def test_equal_by_content_and_frozen() -> None:
    graph = circuit(2)
    assert graph == circuit(2) != circuit(5)
    assert graph != replace(graph, pinned=())
    assert graph != replace(graph, edges=graph.edges.head(1))
    assert graph != "graph"
    with pytest.raises(FrozenInstanceError):
        graph.prompt = ""  # type: ignore[misc]
    with pytest.raises(TypeError):
        hash(graph)
    assert repr(graph).startswith(f"<Graph: {graph.nodes.height} nodes, {graph.edges.height} edges")


@pytest.mark.parametrize(
    ("part", "sentence"),
    [
        ({"labels": {"x/1": "a"}}, "Labels name x/1, which is no node of this graph."),
        ({"groups": {"g": ("x/1",)}}, "Groups name x/1, which is no node of this graph."),
        ({"pinned": ("x/1",)}, "Pins name x/1, which is no node of this graph."),
        ({"hidden": ("x/1",)}, "Hidden nodes name x/1, which is no node of this graph."),
    ],
)
def test_names_of_no_node(part, sentence) -> None:
    with pytest.raises(GraphError) as caught:
        replace(circuit(1), **part)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    "asked",
    [{"clean": None}, {"text": "the keys"}, {"answer": True}, {"answer": -1}, {"clean": [[["deep"]]]}, {"foil": 0.5},
     {"foil": {"is": 1}}, {"answer": 2**40}],
)  # fmt: skip
def test_what_was_asked_is_what_a_method_takes(asked) -> None:
    with pytest.raises(GraphError, match="What was asked has"):
        replace(circuit(1), asked=asked)


def test_frames_that_do_not_hold_together() -> None:
    graph = circuit(1)
    with pytest.raises(GraphError, match=r"^Edges name embed/99999, which is no node of this graph\.$"):
        replace(graph, edges=graph.edges.with_columns(source=pl.lit("embed/99999")))
    with pytest.raises(GraphError, match=r"^Two nodes are called answer; each needs a name of its own\.$"):
        replace(graph, nodes=pl.concat([graph.nodes, graph.nodes.tail(1)]))
    with pytest.raises(
        GraphError, match=r"^A node is of the kind 'foo'; the kinds are atom, error, embedding, logit, other\.$"
    ):
        replace(graph, nodes=graph.nodes.with_columns(kind=pl.lit("foo")))
    with pytest.raises(FrameError, match="effect is missing"):
        replace(graph, nodes=graph.nodes.drop("effect"))
    with pytest.raises(FrameError, match="weight is missing"):
        replace(graph, edges=graph.edges.drop("weight"))


@pytest.mark.parametrize("name", ["graph", "graph.txt", "graph.JSON", "graph.pickle"])
def test_endings(tmp_path, name) -> None:
    with pytest.raises(GraphError, match=r"is no graph file: its ending must be \.json"):
        iw.read_graph(tmp_path / name)
    with pytest.raises(GraphError, match="says no format: end it with"):
        circuit(1).save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_no_such_file_and_no_such_folder(tmp_path) -> None:
    for ending in (".json", ".pt"):
        with pytest.raises(GraphError, match=rf"no{ending} cannot be read: No such file"):
            iw.read_graph(tmp_path / f"no{ending}")
    with pytest.raises(GraphError, match="cannot be written: No such file"):
        circuit(1).save(tmp_path / "no" / "graph.json")
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(GraphError, match=r"cannot be read: Is a directory"):
        iw.read_graph(tmp_path / "folder.json")


def test_a_file_that_is_too_large(tmp_path, monkeypatch) -> None:
    file = circuit(1).save(tmp_path / "graph.json")
    monkeypatch.setattr("interp_widgets.graphs.files.MOST_BYTES", 100)
    with pytest.raises(GraphError, match=r"has [\d,]+ bytes; 100 are read at most"):
        iw.read_graph(str(file))


def test_a_file_that_cannot_be_written_leaves_what_was_there(tmp_path) -> None:
    graph = circuit(1)
    file = graph.save(tmp_path / "graph.json")
    before = file.read_bytes()
    with pytest.raises(GraphError, match="not finite, which JSON does not have"):
        replace(graph, edges=graph.edges.with_columns(weight=pl.lit(float("nan")))).save(file)
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


def test_json_needs_no_torch(tmp_path) -> None:
    """Someone else's graph, where torch and transformers are not installed."""
    file = circuit(1).save(tmp_path / "graph.json")
    script = f"""
import sys
sys.modules["torch"] = sys.modules["transformers"] = sys.modules["nnsight"] = None
import interp_widgets as iw
graph = iw.read_graph({str(file)!r})
assert graph.save({str(tmp_path / "again.json")!r}).exists()
assert graph.nodes.height == {circuit(1).nodes.height}
"""
    assert fresh(script) == ""
