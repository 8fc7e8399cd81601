"""Graph files of circuit-tracer and Neuronpedia: what is read, what comes back, and what their pages do with ours."""

from __future__ import annotations

import copy
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from jsonschema import Draft202012Validator

import interp_widgets as iw
from interp_widgets import frames
from interp_widgets.graphs.circuit_tracer import to_content
from interp_widgets.graphs.tracer_nodes import pair, unpair
from tests.graphs.samples import SITES, TEXTS, cantor, circuit, row, tracer

SCHEMA = json.loads((Path(__file__).parent / "circuit_tracer.schema.json").read_text(encoding="utf-8"))
VALIDATOR = Draft202012Validator(SCHEMA)
SEEDS = range(12)


def written(graph: iw.Graph, tmp_path: Path, name: str = "graph") -> dict:
    return json.loads(graph.save(tmp_path / f"{name}.json").read_text(encoding="utf-8"))


# reading theirs


def test_each_kind_of_node() -> None:
    content = tracer(0)
    graph = iw.read_graph(content)
    frames.check(graph.nodes, frames.GRAPH_NODES)
    tokens = content["metadata"]["prompt_tokens"]
    assert graph.nodes["node"].to_list() == [node["node_id"] for node in content["nodes"]]
    for node in content["nodes"]:
        found = row(graph.nodes, node["node_id"])
        layer, middle, position = node["node_id"].split("_")
        assert (found["position"], found["token"]) == (int(position), tokens[int(position)])
        assert (found["activation"], found["influence"]) == (node["activation"], node["influence"])
        kind = {"E": "embedding", "5": "logit"}.get(layer, "error" if node["feature"] == -1 else "atom")
        assert found["kind"] == kind
        expected = {
            "embedding": (None, None, None),
            "logit": (None, None, node["token_prob"]),
            "error": (int(middle), None, None),
            "atom": (int(layer) if layer.isdecimal() else None, int(middle) if kind == "atom" else None, None),
        }[kind]
        assert (found["layer"], found["atom"], found["probability"]) == expected
        assert found["site"] is found["effect"] is None
    assert (graph.model, graph.dictionaries) == ("gemma-2-2b", ("gemmascope-transcoder-16k",))
    assert (graph.tokens, graph.prompt, graph.notes) == (tuple(tokens), content["metadata"]["prompt"], ())


def test_links_labels_pins_and_supernodes() -> None:
    content = tracer(1)
    graph = iw.read_graph(content)
    assert graph.edges.select("source", "target", "weight").rows() == [
        (link["source"], link["target"], link["weight"]) for link in content["links"]
    ]
    assert graph.edges["low"].null_count() == graph.edges.height
    shown = {node["node_id"]: node["clerp"].partition(" (p=")[0] for node in content["nodes"] if node["clerp"]}
    assert graph.labels == shown
    parameters = content["qParams"]
    assert graph.pinned == tuple(parameters["pinnedIds"])
    first, second, third = parameters["supernodes"]
    assert graph.groups == {"grp": tuple(first[1:]), "grp (2)": tuple(second[1:]), third[0]: tuple(third[1:])}


@pytest.mark.parametrize("seed", SEEDS)
def test_theirs_comes_back_as_it_was(tmp_path, seed) -> None:
    content = tracer(seed)
    untouched = copy.deepcopy(content)
    graph = iw.read_graph(content)
    assert written(graph, tmp_path) == untouched == content
    assert iw.read_graph(tmp_path / "graph.json") == graph


def test_the_graph_does_not_change_with_the_dict_that_it_is_of(tmp_path) -> None:
    content = tracer(0)
    graph = iw.read_graph(content)
    before = copy.deepcopy(content)
    content["nodes"].clear()
    content["metadata"]["unknown"].append(2)
    assert written(graph, tmp_path) == before


def test_numbers_of_features() -> None:
    for layer, index in [(0, 0), (0, 7), (5, 0), (5, 253), (25, 16383), (41, 1_000_000)]:
        paired = pair(layer, index)
        assert unpair(paired) == (layer, index)
        if index < 20_000:
            assert paired == cantor(layer, index)
    assert pair(5, 253) == 33664
    assert unpair(-1) == unpair(10**40) == (-1, -1)


@pytest.mark.parametrize(
    ("node_id", "feature", "atom"),
    [
        ("2_253_1", 999, 253),
        ("2_lor_253_1", 999, 253),
        ("2_00042_1", 200042, 42),
        ("anything", cantor(2, 253), 253),
        ("3_253_1", cantor(2, 253), 253),
        ("anything", cantor(3, 253), None),
        ("anything", None, None),
        ("anything", -5, None),
        ("2_99999999999_1", 10**30, None),
        ("2_٣_1", 0, None),
    ],
)
def test_which_atom_a_node_is(node_id, feature, atom) -> None:
    """Out of the id as circuit-tracer and Neuronpedia's own server write it, else out of the paired number if its layer fits."""
    content = tracer(0)
    content["links"] = []
    content["qParams"] = {}
    node = next(node for node in content["nodes"] if node["feature_type"] == "cross layer transcoder")
    content["nodes"] = [node | {"node_id": node_id, "feature": feature, "layer": 2, "ctx_idx": 1}]
    assert iw.read_graph(content).nodes["atom"].to_list() == [atom]


@pytest.mark.parametrize(
    ("feature_type", "kind"),
    [
        ("cross layer transcoder", "atom"),
        ("lorsa", "atom"),
        ("mlp_neuron", "atom"),
        ("lorsa error", "error"),
        ("mlp reconstruction error", "error"),
        ("bias", "other"),
        ("unknown", "other"),
    ],
)
def test_kinds_of_other_writers(feature_type, kind) -> None:
    content = tracer(0)
    content["nodes"][7]["feature_type"] = feature_type
    assert iw.read_graph(content).nodes["kind"][7] == kind


def test_two_nodes_of_one_id(tmp_path) -> None:
    """circuit-tracer calls feature 3 of layer 0 and the error of layer 3 alike; the links do not say which they are of."""
    content = tracer(2)
    ids = {node["feature_type"]: node["node_id"] for node in content["nodes"]}
    error = next(node for node in content["nodes"] if node["node_id"].startswith("0_3_"))
    twin = next(copy.deepcopy(node) for node in content["nodes"] if node["feature_type"] == "cross layer transcoder")
    twin |= {"node_id": error["node_id"], "layer": "0", "ctx_idx": error["ctx_idx"], "feature": cantor(0, 3)}
    content["nodes"].insert(content["nodes"].index(error), twin)
    content["links"] = [
        {"source": twin["node_id"], "target": ids["logit"], "weight": 1.0},
        {"source": twin["node_id"], "target": ids["logit"], "weight": 2.0},
        {"source": ids["embedding"], "target": twin["node_id"], "weight": 3.0},
    ]
    graph = iw.read_graph(content)
    name = twin["node_id"]
    assert graph.edges.select("source", "target").rows() == [
        (name, ids["logit"]),
        (f"{name}#2", ids["logit"]),
        (ids["embedding"], name),
    ]
    assert (row(graph.nodes, name)["kind"], row(graph.nodes, f"{name}#2")["kind"]) == ("atom", "error")
    assert len(graph.notes) == 1
    assert graph.notes[0].startswith(f"1 of {len(content['nodes'])} nodes have the id of another")
    assert written(graph, tmp_path) == content


def test_links_pins_and_groups_that_lead_nowhere(tmp_path) -> None:
    content = tracer(3)
    content["links"].append({"source": "nobody", "target": content["nodes"][0]["node_id"], "weight": 1})
    content["qParams"]["pinnedIds"].append("nobody")
    content["qParams"]["supernodes"].append(["lost", "nobody", "nowhere"])
    graph = iw.read_graph(content)
    assert graph.edges.height == len(content["links"]) - 1
    assert graph.groups["lost"] == ()
    assert graph.notes == (
        f"1 of {len(content['links'])} links are left out: the file has no node of their ids.",
        "3 pins or members of groups are left out: the file has no node of their ids.",
    )
    assert written(graph, tmp_path) == content


def test_what_their_pages_hide_is_counted_and_shown() -> None:
    content = tracer(4)
    features = [node for node in content["nodes"] if node["feature_type"] == "cross layer transcoder"]
    for node in features[:3]:
        node["influence"] = 0.9
    content["qParams"]["pinnedIds"] = [features[0]["node_id"]]
    graph = iw.read_graph(content)
    assert graph.nodes.height == len(content["nodes"])
    assert graph.notes == (
        f"The pages of circuit-tracer and Neuronpedia hide 2 of these {len(content['nodes'])} nodes, whose influence is above 0.8. "
        "All are here.",
    )
    content["metadata"]["node_threshold"] = None
    assert iw.read_graph(content).notes == ()


@pytest.mark.parametrize("as_text", [False, True])
def test_labels_given_on_a_page(tmp_path, as_text) -> None:
    content = tracer(5)
    node = next(node for node in content["nodes"] if node["feature_type"] == "cross layer transcoder")
    other = content["nodes"][content["nodes"].index(node) + 1]
    anew = [
        [f"{each['layer']}_{each['feature']}_{each['ctx_idx']}", text]
        for each, text in ((node, "given"), (other, "also given"))
    ]
    content["qParams"]["clerps"] = json.dumps(anew) if as_text else anew
    graph = iw.read_graph(content)
    assert (graph.labels[node["node_id"]], graph.labels[other["node_id"]]) == ("given", "also given")
    assert written(graph, tmp_path) == content
    changed = replace(graph, labels={**graph.labels, node["node_id"]: "mine"})
    back = iw.read_graph(changed.save(tmp_path / "changed.json"))
    assert back.labels == changed.labels


def test_half_characters_do_not_stop_it(tmp_path) -> None:
    content = tracer(0)
    content["metadata"]["prompt_tokens"][1] = "a\ud800"
    old = content["nodes"][1]["node_id"]
    content = json.loads(json.dumps(content).replace(json.dumps(old), '"E_1\\ud800_1"'))
    content["nodes"][1]["clerp"] = "\udfff"
    graph = iw.read_graph(content)
    assert (graph.tokens[1], graph.nodes["node"][1], graph.labels[graph.nodes["node"][1]]) == ("a�", "E_1�_1", "�")
    assert written(graph, tmp_path) == content


# changing theirs


@pytest.mark.parametrize("seed", SEEDS)
def test_what_a_person_changes_comes_back_and_the_rest_stays(tmp_path, seed) -> None:
    content = tracer(seed)
    graph = iw.read_graph(content)
    names = graph.nodes["node"].to_list()
    changed = replace(
        graph,
        labels={names[0]: TEXTS[1], names[8]: TEXTS[3], names[-1]: "the answer"},
        groups={"mine": (names[2], names[9]), "none": ()},
        pinned=(names[-1], names[3]),
        hidden=(names[0], names[7], names[-1], names[-3]),
    )
    new = written(changed, tmp_path)
    assert new["nodes"][-1]["clerp"] == f"the answer (p={content['nodes'][-1]['token_prob']:.3f})"
    for old_node, node in zip(content["nodes"], new["nodes"], strict=True):
        assert {**old_node, "clerp": ""} == {**node, "clerp": ""}
    assert (new["links"], new["metadata"], new["unknown"]) == (
        content["links"],
        content["metadata"],
        content["unknown"],
    )
    back = iw.read_graph(new)
    for part in ("labels", "groups", "pinned", "hidden", "tokens"):
        assert getattr(back, part) == getattr(changed, part)
    assert back.nodes.equals(changed.nodes)
    assert back.edges.equals(changed.edges)


def test_fewer_nodes_and_other_numbers(tmp_path) -> None:
    content = tracer(6)
    graph = iw.read_graph(content)
    kept = graph.nodes.filter(pl.col("kind") != "error").with_columns(effect=pl.lit(0.25))
    names = set(kept["node"])
    smaller = replace(
        graph,
        nodes=kept,
        edges=graph.edges.filter(pl.col("source").is_in(names) & pl.col("target").is_in(names)).with_columns(
            weight=pl.lit(1.0)
        ),
        labels={},
        groups={},
        pinned=(),
    )
    new = written(smaller, tmp_path)
    back = iw.read_graph(new)
    assert back.nodes.equals(smaller.nodes)
    assert back.edges.equals(smaller.edges)
    assert back.labels == {}
    old = {node["node_id"]: node for node in content["nodes"]}
    for node in new["nodes"]:
        assert {**node, "clerp": old[node["node_id"]]["clerp"]}.items() >= {
            k: v for k, v in old[node["node_id"]].items()
        }.items()
    if content["links"][0]["source"] in names and content["links"][0]["target"] in names:
        assert new["links"][0]["unknown"] == {"a": [1, None]}


def test_another_model_prompt_and_dictionaries(tmp_path) -> None:
    graph = iw.read_graph(tracer(7))
    changed = replace(
        graph, model="org/x y", metric="m", dictionaries=("a", "b"), tokens=("x", "y", "z", "u", "v"), prompt="xyzuv"
    )
    back = iw.read_graph(written(changed, tmp_path))
    for part in ("model", "metric", "dictionaries", "tokens", "prompt", "labels"):
        assert getattr(back, part) == getattr(changed, part)
    assert back.facts["circuit_tracer"]["metadata"]["scan"] == "org-x-y"


# ours


@pytest.mark.parametrize("seed", SEEDS)
def test_ours_comes_back_exactly(tmp_path, seed) -> None:
    graph = circuit(seed)
    content = written(graph, tmp_path)
    assert iw.read_graph(tmp_path / "graph.json") == graph
    VALIDATOR.validate(content)
    assert content["metadata"]["slug"] == "graph"
    assert iw.read_graph(content | {"unknown": 1}).facts != {}


def test_a_stranger_s_question_is_checked(tmp_path) -> None:
    content = written(replace(circuit(1), asked={"clean": "the keys"}), tmp_path)
    assert iw.read_graph(content).asked == {"clean": "the keys"}
    content["metadata"]["interp_widgets"]["asked"] = {"clean": ["half \ud800"]}
    assert iw.read_graph(content).asked == {"clean": ["half \ufffd"]}
    content["metadata"]["interp_widgets"]["asked"] = {"clean": {"run": "this"}}
    with pytest.raises(iw.errors.GraphError, match="What was asked has 'clean'"):
        iw.read_graph(content)


def test_the_schema_can_fail(tmp_path) -> None:
    Draft202012Validator.check_schema(SCHEMA)
    content = written(circuit(0), tmp_path)
    logit = content["nodes"][-1]
    for bad in ({"clerp": "no probability"}, {"layer": 3}, {"feature": None}, {"misspelt": 1}):
        assert not VALIDATOR.is_valid(content | {"nodes": [logit | bad]})
    assert not VALIDATOR.is_valid(content | {"metadata": content["metadata"] | {"slug": "a b"}})


def test_their_pages_tell_our_nodes_apart(tmp_path) -> None:
    """Both take nodes of one layer, feature and position for the same, and label and hide them together."""
    for seed in SEEDS:
        content = written(circuit(seed), tmp_path)
        nodes = content["nodes"]
        assert max(Counter(node["node_id"] for node in nodes).values()) == 1
        same = Counter(
            (node["layer"], node["feature"], node["ctx_idx"], "error" in node["feature_type"]) for node in nodes
        )
        assert max(same.values()) == 1
        assert sum(node["feature_type"] == "logit" for node in nodes) == 1
        top = next(int(node["layer"]) for node in nodes if node["feature_type"] == "logit")
        assert all(node["layer"] == "E" or int(node["layer"]) < top for node in nodes[:-1])


def test_one_dictionary_a_layer_is_numbered_as_at_neuronpedia(tmp_path) -> None:
    sites = [site for site in SITES if site[0].startswith("resid_post")]
    graph = circuit(4, sites)
    for node in written(graph, tmp_path)["nodes"]:
        said = node["interp_widgets"]
        if said["kind"] == "atom":
            assert node["feature"] == cantor(said["layer"], said["atom"])
            assert node["node_id"] == f"{said['layer']}_{said['atom']}_{said['position']}"
            assert node["layer"] == str(said["layer"])


def test_what_ours_are_called_there(tmp_path) -> None:
    graphs = [replace(circuit(seed), labels={}, metric="logit( is)") for seed in SEEDS]
    types = {}
    for node in [node for graph in graphs for node in written(graph, tmp_path)["nodes"]]:
        said = node["interp_widgets"]
        if said["kind"] == "logit":
            assert (node["clerp"], node["token_prob"], node["is_target_logit"]) == ("logit( is) (p=–)", 1.0, True)
        else:
            assert node["clerp"] == said["node"].partition("@")[0]
            types[said["kind"], said["site"].partition(".")[0]] = node["feature_type"]
        assert node["activation"] == said.get("activation")
    assert {kind for (unit, _), kind in types.items() if unit == "atom"} == {"cross layer transcoder"}
    assert types["error", "mlp_out"] == "mlp reconstruction error"
    assert types["error", "resid_post"] == "resid reconstruction error"
    assert all("error" in kind for (unit, _), kind in types.items() if unit == "error")


def test_summed_positions_stand_in_one_column(tmp_path) -> None:
    content = written(circuit(3), tmp_path)
    assert {node["ctx_idx"] for node in content["nodes"]} == {0}
    assert content["metadata"]["prompt_tokens"] == [
        "(all",
        " positions)",
    ]  # two: a prompt of one token loses all nodes there


def test_a_label_edited_elsewhere_counts(tmp_path) -> None:
    content = written(circuit(1), tmp_path)
    for node in content["nodes"]:
        node["clerp"] = "edited"
    graph = iw.read_graph(content)
    assert set(graph.labels.values()) == {"edited"}
    assert len(graph.labels) == graph.nodes.height


@pytest.mark.parametrize(("name", "slug"), [("a b/c", "a-b-c"), ("☃", "circuit"), ("x" * 200, "x" * 100)])
def test_slugs(name, slug) -> None:
    assert to_content(circuit(1), name)["metadata"]["slug"] == slug


def test_neither_row_nor_edge_is_lost_in_a_large_graph(tmp_path) -> None:
    content = tracer(0, n_tokens=100, layers=26)
    node = next(node for node in content["nodes"] if node["feature_type"] == "cross layer transcoder")
    content["nodes"] += [
        node
        | {"node_id": f"3_{20_000 + i}_{i % 100}", "layer": "3", "ctx_idx": i % 100, "feature": pair(3, 20_000 + i)}
        for i in range(5_000)
    ]
    ids = [node["node_id"] for node in content["nodes"]]
    content["links"] = [
        {"source": ids[i % len(ids)], "target": ids[(7 * i + 1) % len(ids)], "weight": i / 7} for i in range(50_000)
    ]
    graph = iw.read_graph(content)
    assert (graph.nodes.height, graph.edges.height) == (len(ids), 50_000)
    assert written(graph, tmp_path) == content
