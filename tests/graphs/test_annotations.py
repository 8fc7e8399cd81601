"""Annotation lines: into labels, and out of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import interp_widgets as iw
from interp_widgets.errors import GraphError
from interp_widgets.graphs.annotations import own_site, read_annotations, their_site
from interp_widgets.graphs.graph import Graph
from tests.graphs.samples import PAPER, TEXTS, circuit

LINES = [
    {
        "Component": "resid",
        "Layer": "2",
        "Feature": "7",
        "Name": "resid_2/7",
        "Annotation": "plural verbs",
        "Notes": "x",
    },
    {"Component": "embed", "Feature": "3", "Name": "embed/3"},
    {"Component": "mlp", "Layer": 1, "Feature": "4", "Name": "mlp_1/4", "Annotation": TEXTS[1], "notes": "lower case"},
    {"Name": "attn_0/9", "Annotation": "first"},
    {"Name": "attn_0/9", "Annotation": "second"},
    {"Component": "Component", "Name": "Name", "Annotation": "Annotation"},
]


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "annotations.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in LINES) + "\n\n", encoding="utf-8")
    return path


@pytest.fixture
def graph() -> Graph:
    return replace(circuit(1, PAPER), labels={})


def test_lines_by_name(file) -> None:
    assert read_annotations(str(file)) == {
        "resid_2/7": "plural verbs",
        "mlp_1/4": TEXTS[1],
        "attn_0/9": "second",
        "Name": "Annotation",
    }


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("embed", "embed"), ("attn_0", "attn_out.0"), ("mlp_11", "mlp_out.11"), ("resid_25", "resid_post.25")],
)
def test_names_of_sites(theirs, ours) -> None:
    assert own_site(theirs) == ours
    assert their_site(ours) == theirs


def test_what_is_no_site_of_theirs() -> None:
    for name in ("", "resid", "resid_", "resid_x", "resid_-1", "embed_0", "resid_1_2", "resid_٣", "resid_9999999"):
        assert own_site(name) is None
    for site in ("", "resid_post", "head_out.1.2", "mlp_act.3", "logits", "embed.0", "resid_post.x"):
        assert their_site(site) is None


def test_every_position_of_an_atom_is_labelled(graph) -> None:
    atoms = [node for node in graph.nodes["node"] if "error" not in node and node != "answer"]
    atom = atoms[0].partition("@")[0]
    site, _, index = atom.partition("/")
    expected = {node: "said" for node in atoms if node.partition("@")[0] == atom}
    assert graph.annotated({f"{their_site(site)}/{index}": "said"}).labels == expected
    assert graph.annotated({atom: "said"}).labels == expected
    assert graph.annotated({atom: "said", atoms[0]: "this one"}).labels == expected | {atoms[0]: "this one"}
    assert graph.annotated({"resid_40/1": "nobody", "x": "nothing"}).labels == {}


def test_new_labels_win_and_others_stay(graph) -> None:
    first, second = graph.nodes["node"].to_list()[:2]
    labelled = replace(graph, labels={first: "old", second: "stays"})
    assert labelled.annotated({first: "new"}).labels == {first: "new", second: "stays"}


def test_a_file_of_them(graph, file) -> None:
    names = [
        node
        for node in graph.nodes["node"]
        if node.partition("@")[0] in ("resid_post.2/7", "mlp_out.1/4", "attn_out.0/9")
    ]
    texts = {"resid_post.2/7": "plural verbs", "mlp_out.1/4": TEXTS[1], "attn_out.0/9": "second"}
    assert graph.annotated(file).labels == {node: texts[node.partition("@")[0]] for node in names}


def test_out_and_in_again(graph, tmp_path) -> None:
    atoms = [node for node in graph.nodes["node"] if "error" not in node and node != "answer"][:4]
    texts = {atom: TEXTS[i] for i, atom in enumerate(atoms)}
    labelled = graph.annotated({atom.partition("@")[0]: text for atom, text in texts.items()})
    file = replace(labelled, labels={**labelled.labels, "answer": "no atom"}).save(tmp_path / "labels.jsonl")
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert len(lines) == len({line["Name"] for line in lines})
    for line in lines:
        assert line["Name"] == "_".join(filter(None, [line["Component"], line.get("Layer")])) + "/" + line["Feature"]
        assert line["Notes"] == ""
    assert graph.annotated(file).labels == labelled.labels


def test_of_several_positions_the_first_label_counts(tmp_path) -> None:
    graph = circuit(1, [("resid_post.2", 2)])
    atoms = [node for node in graph.nodes["node"] if "error" not in node and node != "answer"]
    twice = next(
        [first, second] for first in atoms for second in atoms[atoms.index(first) + 1 :] if same_atom(first, second)
    )
    file = replace(graph, labels=dict(zip(twice, ["first", "second"], strict=True))).save(tmp_path / "labels.jsonl")
    assert list(read_annotations(file).values()) == ["first"]


def same_atom(first: str, second: str) -> bool:
    return first.partition("@")[0] == second.partition("@")[0]


def test_no_label_of_an_atom(graph, tmp_path) -> None:
    for labels in ({}, {"answer": "the metric"}):
        with pytest.raises(GraphError, match="there is no annotation to write"):
            replace(graph, labels=labels).save(tmp_path / "labels.jsonl")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", r"line 1, cannot be read as JSON"),
        ('{"Name": "embed/1", "Annotation": "a"}\n[1]', r"line 2, is a list without a Name"),
        ("3", r"line 1, is the number 3 without a Name"),
        ('{"Annotation": "a"}', r"line 1, is an object without a Name"),
        ('{"Name": 3}', r"line 1, is an object without a Name"),
        ('{"Name": "embed/1", "Annotation": ["a"]}', r"line 1: Annotation is a list, but must be a text"),
        ("[" * 100_000, r"line 1, cannot be read as JSON"),
    ],
)
def test_lines_that_are_none(tmp_path, text, fault) -> None:
    file = tmp_path / "annotations.jsonl"
    file.write_text(text)
    with pytest.raises(GraphError, match=fault):
        read_annotations(file)


def test_files_that_are_none(tmp_path, monkeypatch, file) -> None:
    with pytest.raises(GraphError, match="cannot be read: No such file"):
        read_annotations(tmp_path / "no.jsonl")
    (tmp_path / "bytes.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(GraphError, match="is no text in UTF-8"):
        read_annotations(tmp_path / "bytes.jsonl")
    monkeypatch.setattr("interp_widgets.graphs.annotations.MOST_BYTES", 10)
    with pytest.raises(GraphError, match="10 are read at most"):
        read_annotations(file)
    with pytest.raises(
        GraphError, match=r"holds annotations of atoms and no graph; read a graph and call its annotated"
    ):
        iw.read_graph(file)
