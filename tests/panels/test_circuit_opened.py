"""A graph that was opened beside its model: it works as the panel did that saved it, as far as its nodes are there."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

import interp_widgets as iw
from interp_widgets import methods
from interp_widgets.errors import DictionaryError, GraphError
from interp_widgets.graphs.graph import Graph
from tests.graphs import samples

from .conftest import CIRCUIT_FEW, click, on_in_clean, rest
from .test_circuit import ASKED, ints
from .test_circuit import panel as panel

FEW = CIRCUIT_FEW[1:3]


@pytest.fixture(scope="module")
def saved(panel, tmp_path_factory) -> Graph:
    """The graph of eight pairs, out of the file that the panel saved, with a label."""
    path = tmp_path_factory.mktemp("saved") / "graph.json"
    panel.label(panel.frame["node"][0], "first")
    panel.save(path)
    panel.label(panel.frame["node"][0], "")
    return iw.read_graph(path)


@pytest.fixture(scope="module")
def opened(toy, saved) -> iw.Circuit:
    made = iw.Circuit(toy, graph=saved)
    made.run()
    return made


def test_a_saved_graph_is_opened_with_its_model(toy, several, panel, saved, opened) -> None:
    assert saved.asked == several
    assert opened.has_model
    assert opened.frame["node"].to_list() == [*panel.frame["node"], "answer"]
    assert opened.graph == saved
    assert opened.edges.equals(saved.edges)
    assert opened.labels == {panel.frame["node"][0]: "first"}
    assert opened.names == panel.names
    assert (opened.clean, opened.answer, opened.metric) == (panel.clean, panel.answer, panel.metric)
    assert opened.variants == panel.variants
    assert opened.faithfulness.equals(panel.faithfulness)
    assert opened.check.nodes.equals(panel.check.nodes)
    for name in ("curve", "curve_nodes", "curve_prefix", "weight", "effect", "size"):
        assert getattr(opened, name) == getattr(panel, name), name
    assert opened.notes == panel.notes


def test_its_nodes_are_switched_and_have_cards(panel, opened) -> None:
    node = on_in_clean(panel)
    found = opened.switch(node, 0, prompt="corrupt 3")
    rest(opened)
    try:
        assert found.equals(panel.switch(node, 0, prompt="corrupt 3"))
        assert opened.changes.equals(panel.changes)
        rest(panel)
        assert opened.mean_change == panel.mean_change
        assert "iw.read_graph" in opened.code()
        assert "corrupt 3" in opened.code()
    finally:
        for each in (opened, panel):
            each.switches, each.prompt = {}, "clean 0"
            rest(each)
    opened.select(node)
    rest(opened)
    assert opened.cards[node]["atom"] == panel.frame.filter(node=node)["atom"][0]
    assert opened.cards[node]["removed"]["answer"]
    assert opened.provenance["nodes"] == "of a graph that was opened"
    assert set(opened.provenance["dictionaries"]) == set(panel.provenance["dictionaries"])


def test_another_question_leaves_the_graph(toy, saved) -> None:
    panel = iw.Circuit(toy, graph=saved, dictionaries=FEW, errors=("nodes",), edges=5)
    panel.run()
    click(panel, "run", **ASKED)
    panel._job.wait(30)
    assert panel.error == ""
    assert panel.frame.equals(methods.circuit(toy, **ASKED, dictionaries=FEW))
    assert "graph" not in panel._made_of
    assert panel.graph.asked == ASKED


def test_more_edges_of_an_opened_graph_are_computed(toy, saved) -> None:
    panel = iw.Circuit(toy, graph=saved, errors=("nodes",))
    panel.run()
    before = panel.edges
    assert panel.connect(8).height < before.height
    assert panel.graph.edges.height == panel.edges.height
    assert panel.edged == 9
    assert panel.graph.nodes.equals(saved.nodes)


def test_an_opened_graph_is_opened_again_from_its_page(toy, saved, opened, tmp_path) -> None:
    opened.group("two", opened.frame["node"].to_list()[:2])
    try:
        again = iw.reopen(opened.to_html(tmp_path / "opened.html"), model=toy)
        assert again.asleep
        assert again.graph.groups == opened.graph.groups  # wakes
        assert again.graph.nodes.equals(saved.nodes)
        again.run()
        assert again.faithfulness.equals(opened.faithfulness)
        assert again.names == opened.names
    finally:
        opened.group("two")


def test_a_graph_that_is_partly_of_the_dictionaries(toy, saved) -> None:
    panel = iw.Circuit(toy, graph=saved, dictionaries=FEW, errors=("nodes",))
    panel.run()
    fits = saved.nodes.filter(pl.col("site").is_in(["resid_post.1", "resid_post.2"]))
    outside = saved.nodes.height - 1 - fits.height
    assert panel.notes[0].startswith(
        f"{outside:,} of {saved.nodes.height - 1:,} nodes are not of the dictionaries given"
    )
    assert panel.faithfulness.equals(
        methods.circuit_faithfulness(toy, **saved.asked, dictionaries=FEW, nodes=panel._found.nodes)
    )
    sizes, prefix = ints(panel.curve_nodes), ints(panel.curve_prefix)
    counted = set(fits["node"])
    for size, until in zip(sizes, prefix, strict=True):
        assert len(counted & set(panel.names[:until])) == min(size, fits.height)
    node = next(name for name in panel.names if name.startswith("mlp_out"))
    panel.select(node)
    rest(panel)
    assert "none of the dictionaries given" in panel.cards[node]["corpus"]
    with pytest.raises(DictionaryError, match="nodes at mlp_out"):
        panel.switch(node, 0)


def test_a_graph_of_others_is_shown_and_one_sentence_says_what_is_missing(toy, saved, tmp_path) -> None:
    theirs = iw.read_graph(samples.tracer(3))
    panel = iw.Circuit(toy, graph=theirs)
    assert not panel.has_model
    assert panel.graph == theirs
    assert panel.names
    [said] = [note for note in panel.notes if "dictionaries given" in note]
    assert panel.notes[0] == said
    assert "the graph is shown as it is" in said
    with pytest.raises(GraphError, match="nothing can be switched"):
        panel.switch(panel.names[-1], 0)
    with pytest.raises(GraphError, match="dictionaries given"):
        _ = panel.faithfulness
    assert "read_graph" in panel.code()
    again = iw.reopen(panel.to_html(tmp_path / "theirs.html"))
    assert again.graph == replace(panel.graph, facts={})
    assert again.notes == panel.notes
    click(panel, "run", **ASKED)
    panel._job.wait(60)
    assert panel.error == ""
    assert panel.has_model, "a question of its own is answered"
    assert panel.frame.equals(methods.circuit(toy, **ASKED))


@pytest.mark.parametrize(
    ("change", "options", "says"),
    [
        ({}, {"clean": "the dogs that the king sees now", "answer": "are"}, "The graph is of the tokens '<s> the"),
        ({"sizes": {"resid_post.1": 7, "resid_post.2": 7}}, {"dictionaries": FEW}, "that of the graph 7"),
        ({"asked": {}, "prompt": ""}, {}, "does not say its prompt"),
    ],
)
def test_a_graph_that_does_not_fit_gets_a_sentence(toy, saved, change, options, says) -> None:
    panel = iw.Circuit(toy, graph=replace(saved, **change), **options)
    if panel._job is not None:
        panel.run()
    assert says in panel.notes[0]
    assert panel.error == ""
    assert not panel.has_model
    assert panel.frame.equals(saved.nodes)
    with pytest.raises(GraphError, match="the graph is shown as it is"):
        panel.switch(panel.names[1], 0)


def test_a_graph_without_its_question_is_measured_on_its_prompt(toy, saved) -> None:
    panel = iw.Circuit(toy, graph=replace(saved, asked={}, metric=""), dictionaries=FEW, errors=("nodes",))
    panel.run()
    assert panel._found.prompts.count == 1
    assert any("finds likeliest" in note for note in panel.notes)
    other = iw.Circuit(toy, **ASKED, graph=replace(saved, tokens=()), dictionaries=FEW, errors=("nodes",))
    other.run()
    assert "dictionaries given" in other.notes[0] or "effects in the graph are on" in " ".join(other.notes)
