"""The circuit panel: its numbers are the methods', a graph needs no model, and what a person makes of it is kept."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import polars as pl
import pytest

import interp_widgets as iw
from interp_widgets import frames, methods
from interp_widgets.errors import AlignmentError, DictionaryError, GraphError, InterpError, TextError
from interp_widgets.graphs.graph import Graph
from interp_widgets.methods.atom_effects import run_atom_ablation
from interp_widgets.panels import circuit_alone
from interp_widgets.panels.circuit_question import BY_PROMPT, Question
from interp_widgets.widgets.circuit import CURVE, KINDS

from .conftest import CIRCUIT_FEW as FEW
from .conftest import click, rest

CLEAN = "the keys that the king admires"
CORRUPT = "the key that the king admires"
ASKED = {"clean": CLEAN, "corrupt": CORRUPT, "answer": "are", "foil": "is"}


def ints(raw: bytes) -> np.ndarray:
    return np.frombuffer(raw, "<i4")


def floats(raw: bytes, *shape: int) -> np.ndarray:
    return np.frombuffer(raw, "<f4").reshape(shape or (-1,))


@pytest.fixture(scope="module")
def panel(toy, several) -> iw.Circuit:
    made = iw.Circuit(toy, **several)
    made.run()
    return made


@pytest.fixture(scope="module")
def graph(panel) -> Graph:
    return panel.graph


# its numbers are the methods'


def test_its_frames_are_the_methods(toy, several, panel) -> None:
    assert panel.frame.equals(methods.circuit(toy, **several))
    edged = panel.edged - 1
    assert panel.edges.equals(methods.circuit_edges(toy, **several, nodes=panel.frame.head(edged)))
    for way in ("nodes", "removed"):
        expected = methods.circuit_faithfulness(toy, **several, nodes=panel.frame, errors=way)
        assert panel.faithfulness.filter(error_nodes=way).equals(expected)
    assert panel.check.nodes["node"].to_list() == panel.frame["node"].to_list()[: panel.check.nodes.height]
    frames.check(panel.frame, frames.CIRCUIT_NODES)
    frames.check(panel.edges, frames.CIRCUIT_EDGES)


def test_its_traits_hold_the_frames(panel) -> None:
    assert panel.names[0] == "answer"
    assert panel.names[1:] == panel.frame["node"].to_list()
    assert panel.total == panel.frame.height
    kinds = [KINDS[k] for k in panel.kind]
    assert kinds == ["logit", *panel.frame["kind"]]
    assert floats(panel.effect)[1:] == pytest.approx(panel.frame["effect"].to_numpy(), abs=1e-5)
    assert np.isnan(floats(panel.effect)[0])
    assert ints(panel.column)[1:].tolist() == panel.frame["position"].to_list()
    sites = [panel.rows[row]["site"] for row in ints(panel.row)]
    assert sites == ["answer", *panel.frame["site"]]
    assert [row["site"] for row in panel.rows][:4] == ["embed", "attn_out.0", "mlp_out.0", "resid_post.0"]
    first = panel.edges.row(0, named=True)
    assert panel.names[ints(panel.source)[0]] == first["source"]
    assert panel.names[ints(panel.target)[0]] == first["target"]
    assert floats(panel.weight)[0] == pytest.approx(first["weight"], abs=1e-5)
    assert panel.tokens[0] == "<s>"
    assert panel.metric == "mean logit(answers) − mean logit(foils)"
    assert panel.answer == BY_PROMPT


def test_the_strip_holds_every_node(panel) -> None:
    strip = floats(panel.strip, len(panel.rows) - 1, len(panel.tokens))
    at = panel.frame.group_by("site", "position").agg(pl.col("effect").abs().sum())
    rows = [row["site"] for row in panel.rows]
    for site, position, total in at.iter_rows():
        assert strip[rows.index(site), position] == pytest.approx(total, rel=1e-5, abs=1e-6)
    assert np.nansum(strip) == pytest.approx(panel.frame["effect"].abs().sum(), rel=1e-5)


def test_the_curve_lies_on_the_threshold(panel) -> None:
    ways, sizes = len(panel.ways), ints(panel.curve_nodes).reshape(len(panel.ways), -1)
    prefix = ints(panel.curve_prefix).reshape(sizes.shape)
    curve = floats(panel.curve, len(CURVE), *sizes.shape)
    assert panel.ways == ["nodes", "removed"]
    kinds = np.array(["logit", *panel.frame["kind"]])
    there = {"nodes": panel.frame.height, "removed": panel.frame.filter(kind="atom").height}
    for way, name in zip(range(ways), panel.ways, strict=True):
        part = panel.faithfulness.filter(error_nodes=name).sort("nodes")
        known = sizes[way] >= 0
        assert sizes[way][known].tolist() == part["nodes"].to_list()
        assert curve[1, way, known] == pytest.approx(part["faithfulness"].to_numpy(), abs=1e-5)
        for size, until in zip(sizes[way][known], prefix[way][known], strict=True):
            inside = kinds[:until]
            counted = ((inside != "logit") & ((inside != "error") | (name == "nodes"))).sum()
            assert counted == min(size, there[name])
    ends = panel.faithfulness.filter(error_nodes="nodes").sort("nodes")["metric"]
    assert panel.ends == {"model": pytest.approx(ends[-1]), "nothing": pytest.approx(ends[0])}
    assert curve[1, 0, 0] == 0
    assert curve[1, 0, len(ends) - 1] == 1


def test_circuits_are_compared_with_neurons(toy, circuit) -> None:
    found = circuit.compare("neurons")
    nodes = methods.circuit(toy, **ASKED, dictionaries="neurons")
    assert found.equals(methods.circuit_faithfulness(toy, **ASKED, dictionaries="neurons", nodes=nodes))
    [baseline] = circuit.baselines
    assert baseline["name"] == "MLP neurons"
    assert baseline["nodes"] == found["nodes"].to_list()
    with pytest.raises(TextError, match="neurons or coordinates"):
        circuit.compare("heads")


def test_more_edges_are_computed_when_they_are_asked_for(circuit) -> None:
    assert circuit.edged == 41
    curve = circuit.faithfulness
    click(circuit, "edges", nodes=61)
    circuit._job.wait(20)
    assert circuit.edged == 61
    used = set(circuit.edges["source"]) | set(circuit.edges["target"])
    assert used <= {"answer", *circuit.frame["node"].head(60)}
    assert circuit.faithfulness.equals(curve)
    assert circuit.connect(20).height < len(ints(circuit.source)) + 1


def test_another_method_computes_again(toy, circuit) -> None:
    click(circuit, "method", method="integrated_gradients")
    circuit._job.wait(30)
    assert circuit.frame.equals(methods.circuit(toy, **ASKED, dictionaries=FEW, method="integrated_gradients"))
    assert circuit.method == "integrated_gradients"
    click(circuit, "method", method="guess")
    assert "no method 'guess'" in circuit.error


def test_summed_positions_have_one_column(toy) -> None:
    panel = iw.Circuit(toy, **ASKED, positions="summed", errors=("nodes",), edges=10)
    panel.run()
    assert (panel.summed, panel.tokens) == (True, [""])
    assert set(ints(panel.column).tolist()) == {0}
    assert panel.frame["position"].null_count() == panel.frame.height


# what is switched, looked at and said


def test_switching_a_node_changes_the_prediction(toy, circuit) -> None:
    on = circuit.frame.filter(pl.col("activation") > 0, pl.col("corrupt_activation") == 0, kind="atom")
    node = on.sort("effect")["node"][-1]
    found = circuit.switch(node, 0)
    expected = methods.circuit_prediction(
        toy, text=CLEAN, scales={node: 0.0}, dictionaries=FEW, answer="are", foil="is", top=8
    )
    assert found.equals(expected)
    assert circuit.prediction["of"] == {node: 0.0}
    before, after = (circuit.prediction["metric"][name] for name in ("before", "after"))
    assert after < before - 0.1
    assert circuit.prediction["top"][0]["token"] == "are"
    circuit.set_state({"switches": {}})
    circuit._beside["prediction"].wait(10)
    assert circuit.prediction["metric"]["after"] == pytest.approx(before)
    circuit.set_state({"switches": {"resid_post.9/1@3": 0}})
    circuit._beside["prediction"].wait(10)
    assert "resid_post.9" in circuit.prediction["failed"]


def test_a_selected_node_has_the_card_of_its_atom(circuit) -> None:
    node = circuit.frame.filter(pl.col("activation") > 0, kind="atom", site="resid_post.2")["node"][0]
    error = circuit.frame.filter(kind="error")["node"][0]
    circuit.select(node)
    circuit._beside["cards"].wait(10)
    card = circuit.cards[node]
    atom = int(node.split("/")[1].split("@")[0])
    assert card["atom"] == atom
    assert "corpora={'resid_post.2'" in card["corpus"]
    assert card["removed"]["answer"] == "are"
    assert len(card["removed"]["up"]) > 0
    sae = next(each for each in circuit._found.dictionaries.values() if each.site == "resid_post.2")
    for prompt, text in (("clean 0", CLEAN), ("corrupt 0", CORRUPT)):
        circuit.set_state({"prompt": prompt})
        circuit._beside["cards"].wait(10)
        removed = circuit.cards[node]["removed"]
        assert removed["prompt"] == prompt
        assert removed["tokens"] == circuit.session.tokens(text)["token"].to_list()
        measured = run_atom_ablation(circuit.session, text, sae=sae, atom=atom, answer="are")
        assert removed["effect"] == pytest.approx(measured.effect, abs=1e-5)
    circuit.set_state({"prompt": "clean 0"})
    circuit._beside["cards"].wait(10)
    circuit.select(error)
    assert circuit.cards == {}
    assert circuit.selection["node"].to_list() == [error]


def test_examples_of_a_corpus_are_on_the_card(toy) -> None:
    sae = iw.load_sae("toy-grammar/resid_post.2")
    texts = [f"the {noun} that the king admires are here ." for noun in ("keys", "dogs", "cats", "birds")]
    corpus = iw.corpus(toy, texts, sae=sae)
    panel = iw.Circuit(toy, **ASKED, dictionaries=[sae], errors=("nodes",), edges=5, corpora={"resid_post.2": corpus})
    panel.run()
    node = panel.frame.filter(pl.col("activation") > 0, kind="atom")["node"][0]
    panel.select(node)
    panel._beside["cards"].wait(10)
    assert panel.cards[node]["examples"]["words"]


def test_a_coordinate_says_what_it_is(toy) -> None:
    panel = iw.Circuit(toy, **ASKED, dictionaries={"resid_post.2": "coordinates"}, errors=("nodes",), edges=5)
    panel.run()
    panel.select(panel.frame["node"][0])
    panel._beside["cards"].wait(10)
    assert "nobody trained a dictionary" in panel.cards[panel.frame["node"][0]]["corpus"]


def test_it_says_what_it_cannot_tell(circuit) -> None:
    said = " ".join(circuit.notes)
    assert "first-order estimates" in said
    assert "exact effects" in said
    assert f"off by {circuit.check.largest:.3g}" in said
    assert "One prompt: there are no intervals" in said
    assert "among the 40 strongest nodes" in said
    best = circuit.frame.row(0, named=True)
    assert f"atom {best['atom']} of {best['site']} at position {best['position']}" in circuit.summary


def test_no_corrupt_prompt_and_nothing_that_differs(toy) -> None:
    alone = iw.Circuit(toy, CLEAN, answer="are", foil="is", errors=("nodes",), edges=5)
    alone.run()
    assert any("no corrupt prompts" in note for note in alone.notes)
    same = iw.Circuit(toy, CLEAN, CLEAN, answer="are", foil="is")
    same.run()
    assert same.frame.is_empty()
    assert "No node differs" in same.summary
    with pytest.raises(InterpError, match="edges of this circuit were not computed"):
        _ = same.edges


# what a person makes of it


def test_labels_groups_pins_and_hidden_nodes_are_in_the_graph_and_outlast_a_run(circuit, tmp_path) -> None:
    one, two, three, four = circuit.frame["node"].head(4)
    circuit.label(one, " plural verb ")
    circuit.pin(two)
    circuit.hide(three)
    circuit.group("both", [one, four])
    graph = circuit.graph
    assert graph.labels == {one: "plural verb"}
    assert (graph.pinned, graph.hidden, graph.groups) == ((two,), (three,), {"both": (one, four)})
    effect = circuit.frame.filter(pl.col("node").is_in([one, four]))["effect"].sum()
    assert circuit.groups[0]["effect"] == pytest.approx(effect)
    sums = dict(
        zip(
            zip(ints(circuit.group_source), ints(circuit.group_target), strict=True),
            floats(circuit.group_weight),
            strict=True,
        )
    )
    into = circuit.edges.filter(pl.col("source").is_in([one, four]), target="answer")["weight"].sum()
    assert sums[len(circuit.names), 0] == pytest.approx(into, rel=1e-4)
    circuit.run()
    assert circuit.graph.labels == graph.labels
    assert circuit.graph.groups == graph.groups
    click(circuit, "group", name="other", nodes=[four])
    assert [each["name"] for each in circuit.groups] == ["both", "other"]
    click(circuit, "ungroup", name="both")
    assert [each["name"] for each in circuit.groups] == ["other"]
    circuit.save(tmp_path / "graph.json")
    again = iw.Circuit(iw.read_graph(tmp_path / "graph.json"))
    assert again.graph.labels == circuit.graph.labels
    assert again.graph.groups == circuit.graph.groups
    assert again.frame["effect"].drop_nulls().sum() == pytest.approx(circuit.frame["effect"].sum())


def test_groups_outlast_nodes_that_come_one_site_after_the_other(circuit, monkeypatch) -> None:
    monkeypatch.setattr("interp_widgets.panels.jobs.QUIET", -1.0)  # every part is shown
    nodes = circuit.frame.unique("site", maintain_order=True)["node"].to_list()
    circuit.group("one of each site", nodes)
    circuit.run()
    assert circuit.graph.groups == {"one of each site": tuple(nodes)}


def test_what_is_no_node_gets_a_sentence(circuit) -> None:
    for request in (circuit.select, circuit.pin, circuit.hide, lambda node: circuit.label(node, "x"), circuit.switch):
        with pytest.raises(GraphError, match="'attn' is no node of this circuit; nodes are named like"):
            request("attn")
    with pytest.raises(GraphError, match="what is measured"):
        circuit.group("x", ["answer"])
    with pytest.raises(GraphError, match="needs a name"):
        circuit.group(" ", [circuit.frame["node"][0]])
    click(circuit, "group", name="x", nodes=["nothing"])
    assert "'nothing' is no node" in circuit.error


def test_typed_prompts_are_read_line_by_line(toy, circuit) -> None:
    click(
        circuit,
        "run",
        clean=f"{CLEAN}\nthe dogs that the king admires\n",
        corrupt=f"{CORRUPT}\nthe dog that the king admires",
        answer="are |were",
        foil="is |was",
    )
    circuit._job.wait(30)
    assert circuit.error == ""
    assert circuit.frame["prompts"][0] == 2
    assert circuit.metric == "mean logit(are, were) − mean logit(is, was)"
    several = {
        "clean": [CLEAN, "the dogs that the king admires"],
        "corrupt": [CORRUPT, "the dog that the king admires"],
    }
    expected = methods.circuit(toy, **several, answer=[["are", "were"]] * 2, foil=[["is", "was"]] * 2, dictionaries=FEW)
    assert circuit.frame.equals(expected)


def test_a_field_that_says_the_same_keeps_what_was_given(toy) -> None:
    asked = Question([[1, 5], [1, 6]], "", [[28], [246]], "")
    shown = asked.texts(toy)
    assert shown["answer"] == BY_PROMPT
    assert asked.typed(toy, **shown) is asked
    assert asked.typed(toy, **{**shown, "answer": "are"}).answer == "are"
    assert asked.typed(toy, **{**shown, "answer": "are"}).clean == asked.clean


# failures


@pytest.mark.parametrize(
    ("asked", "error", "sentence"),
    [
        ({**ASKED, "corrupt": "the key"}, AlignmentError, "have 7 and 3 tokens"),
        ({**ASKED, "answer": "mary john"}, TextError, "one token"),
        ({**ASKED, "clean": ["the keys", "the dogs"]}, TextError, "2 clean prompts and 1 corrupt"),
        ({**ASKED, "positions": "beside"}, TextError, "apart"),
        (
            {"clean": ["the keys", "the old dogs"], "corrupt": ["the key", "the old dog"], "answer": "are"},
            TextError,
            "lengths",
        ),
    ],
)
def test_bad_questions_get_a_sentence(toy, asked, error, sentence: str) -> None:
    panel = iw.Circuit(toy, **asked)
    with pytest.raises(error, match=sentence):
        panel.run()
    assert panel.error
    with pytest.raises(InterpError):
        _ = panel.frame


def test_bad_arguments_are_refused_at_once(toy) -> None:
    with pytest.raises(TextError, match="no method 'guess'"):
        iw.Circuit(toy, **ASKED, method="guess")
    with pytest.raises(TextError, match="neurons or coordinates"):
        iw.Circuit(toy, **ASKED, compare=("heads",))
    with pytest.raises(iw.errors.SiteError, match="layers 0 to 3"):
        iw.Circuit(toy, **ASKED, dictionaries=["smollm2-135m/15-resid-4096"])
    with pytest.raises(DictionaryError, match="two dictionaries"):
        iw.Circuit(toy, **ASKED, dictionaries=["toy-grammar/embed"] * 2)
    empty = iw.Circuit(toy)
    assert empty.status["state"] == "idle"
    with pytest.raises(TextError, match="There are no prompts"):
        empty.run()


def test_a_failure_leaves_what_was_there(circuit) -> None:
    before = circuit.frame
    click(circuit, "run", clean="the keys", corrupt="the big key", answer="are", foil="is")
    circuit._job.wait(10)
    assert "tokens" in circuit.error
    assert circuit.frame.equals(before)
    assert circuit.names[1:] == before["node"].to_list()


def test_it_stops_and_keeps_what_is_there(toy, monkeypatch) -> None:
    kept = __import__("importlib").import_module("interp_widgets.methods.circuits.faithfulness")
    measure = kept.measure_kept

    def slow(*arguments, **options):
        panel.cancel()
        return measure(*arguments, **options)

    monkeypatch.setattr(kept, "measure_kept", slow)
    with toy._lock:
        panel = iw.Circuit(toy, **ASKED)
    panel._job.wait(20)
    assert panel.status["state"] == "cancelled"
    assert panel.frame.height > 100
    assert panel.ways == []
    monkeypatch.undo()
    panel.run()
    assert panel.ways == ["nodes", "removed"]


# a graph without its model


def test_a_graph_needs_no_model(graph) -> None:
    panel = iw.Circuit(graph)
    assert not panel.has_model
    assert panel.graph == graph
    assert panel.frame.equals(graph.nodes)
    assert (
        panel.names[1:]
        == graph.nodes.filter(kind="atom").sort(pl.col("effect").abs(), descending=True)["node"].to_list()
        or panel.names[0] == "answer"
    )
    assert panel.edges.equals(graph.edges)
    assert "for 1 answer" in panel.summary
    node = panel.names[1]
    panel.label(node, "first")
    assert panel.graph.labels[node] == "first"
    for request in (panel.run, lambda: panel.switch(node, 0), lambda: panel.faithfulness):
        with pytest.raises(InterpError, match=r"without its model|were not computed"):
            request()
    click(panel, "run", clean="the", corrupt="", answer="", foil="")
    assert "without its model" in panel.error
    assert "read_graph" in panel.code()
    assert panel.provenance["model"] == "toy-grammar"


def test_a_graph_is_opened_again_from_its_page(graph, tmp_path) -> None:
    panel = iw.Circuit(graph)
    panel.label(panel.names[1], "first")
    panel.group("two", panel.names[2:4])
    panel.select(panel.names[5])
    path = panel.to_html(tmp_path / "graph.html")
    again = iw.reopen(path)
    assert again.graph == panel.graph
    assert again.selected == panel.selected
    assert again.groups == panel.groups


def test_a_kept_graph_that_is_damaged_gets_a_sentence(graph) -> None:
    kept = circuit_alone.plain(graph)
    assert circuit_alone.again(kept) == graph
    for damaged in (None, {}, {**kept, "nodes": None}, {**kept, "labels": 3}, {**kept, "nodes": kept["edges"]}):
        with pytest.raises(iw.errors.KeptError):
            circuit_alone.again(damaged)


def test_a_panel_is_opened_again_without_its_model(circuit, tmp_path) -> None:
    node = circuit.frame["node"][0]
    circuit.label(node, "first")
    path = circuit.to_html(tmp_path / "circuit.html")
    again = iw.reopen(path)
    assert again.asleep
    assert again.frame.equals(circuit.frame)
    assert again.labels == {node: "first"}
    assert again.chart.to_dict()
    again.select(circuit.frame["node"][1])
    assert again.edges.equals(circuit.edges)  # wakes
    assert not again.asleep
    assert again.labels == {node: "first"}
    assert again.size == circuit.size


def test_charts_and_figures(panel, tmp_path) -> None:
    marks = {layer["mark"]["type"] for layer in panel.chart.to_dict()["layer"]}
    assert marks == {"rule", "point", "text"}
    assert {layer["mark"]["type"] for layer in panel.faithfulness_chart.to_dict()["layer"]} == {"area", "line"}
    for name in ("figure.svg", "frame.csv", "graph.json", "graph.pt"):
        assert panel.save(tmp_path / name).stat().st_size > 1000
    panel.set_state({"size": 10})
    spec = panel.chart.to_dict()
    assert len(spec["datasets"][spec["layer"][1]["data"]["name"]]) == 11


def test_a_graph_is_shown_where_torch_is_not_installed(graph, tmp_path) -> None:
    graph.save(tmp_path / "graph.json")
    script = f"""
import sys
class Without:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        gone = name.partition(".")[0] in ("torch", "transformers", "nnsight")
        return None if gone else self.finder.find_spec(name, path, target)
    def __getattr__(self, name):
        return getattr(self.finder, name)
sys.meta_path[:] = map(Without, sys.meta_path)
import interp_widgets as iw
panel = iw.Circuit(iw.read_graph({str(tmp_path / "graph.json")!r}))
panel.label(panel.names[1], "first")
panel.to_html({str(tmp_path / "graph.html")!r})
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "first" in (tmp_path / "graph.html").read_text(encoding="utf-8")


def test_a_recording_has_its_cards_and_predictions(toy, tmp_path) -> None:
    few = {"dictionaries": FEW[:2], "errors": ("nodes",), "edges": 10}
    with iw.record(toy, tmp_path / "circuit.recording") as model:
        panel = iw.Circuit(model, **ASKED, **few)
        panel.run()
        node = panel.frame.filter(kind="atom")["node"][0]
        panel.select(node)
        panel._beside["cards"].wait(20)
        panel.switch(node, 0, prompt="corrupt 0")
        several = iw.Circuit(model, [CLEAN, CLEAN.replace("keys", "dogs")], answer="are", foil="is", **few)
        several.run()
        several.set_state({"switches": {several.frame["node"][0]: 0}})
        rest(several)
    again = iw.Circuit(iw.replay(tmp_path / "circuit.recording"), **ASKED, **few)
    again.run()
    assert again.switch(node, 0, prompt="corrupt 0").equals(panel.predictions)
    with pytest.raises(iw.errors.NotRecorded):
        again.switch(node, 0.5)
    assert again.frame.equals(panel.frame)
    assert again.edges.equals(panel.edges)
