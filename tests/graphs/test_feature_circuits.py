"""Circuits as the code of Sparse Feature Circuits saves them: every number found another way, back again, and hostile files."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

import interp_widgets as iw
from interp_widgets import frames
from interp_widgets.errors import GraphError
from interp_widgets.graphs.sparse_act import SparseAct
from tests.graphs.samples import PAPER, SIZE, circuit, row, save_circuit, their_code

OURS = {"attn": "attn_out", "mlp": "mlp_out", "resid": "resid_post"}


def name(submodule: str, index: list[int], atoms: int) -> str:
    """Our name of the unit at an index [(position,) unit]."""
    kind, _, layer = submodule.partition("_")
    site = f"{OURS[kind]}.{layer}" if layer else kind
    unit = "error" if index[-1] == atoms else index[-1]
    return f"{site}/{unit}" if len(index) == 1 else f"{site}/{unit}@{index[0]}"


@pytest.mark.parametrize("positions", [None, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_effect_and_weight(tmp_path, positions, dtype) -> None:
    made = save_circuit(tmp_path / "circuit.pt", positions, dtype=dtype)
    graph = iw.read_graph(tmp_path / "circuit.pt")
    frames.check(graph.nodes, frames.GRAPH_NODES)
    effects = {
        name(submodule, index, 7): effect[tuple(index)].item()
        for submodule, effect in made["effects"].items()
        for index in effect.nonzero().tolist()
    }
    weights = {}
    for (upstream, downstream), weight in made["weights"].items():
        for index in weight.nonzero().tolist():
            half = 0 if downstream == "y" else len(index) // 2
            target = name(downstream, index[:half], 7) if half else "answer"
            weights[name(upstream, index[half:], 7), target] = weight[tuple(index)].item()
    found = {node: effect for node, effect in graph.nodes.select("node", "effect").iter_rows() if effect}
    assert found == effects
    assert {(source, target): weight for source, target, weight, *_ in graph.edges.iter_rows()} == weights
    assert graph.edges["weight"].abs().is_sorted(descending=True)
    assert graph.sizes == {f"{OURS[k]}.{i}": 7 for i in range(2) for k in OURS} | {"embed": 7}
    for node, effect in list(effects.items())[::9]:
        said = row(graph.nodes, node)
        site, _, rest = node.partition("/")
        unit, _, position = rest.partition("@")
        assert said["effect"] == effect
        assert (said["site"], said["kind"]) == (site, "error" if unit == "error" else "atom")
        assert said["layer"] == (None if site == "embed" else int(site[-1]))
        assert said["atom"] == (None if unit == "error" else int(unit))
        assert said["position"] == (int(position) if position else None)
        assert (said["prompts"], said["activation"], said["method"]) == (2, None, None)


def test_words_stand_for_tokens_where_their_number_fits(tmp_path) -> None:
    save_circuit(tmp_path / "circuit.pt", 3)
    graph = iw.read_graph(tmp_path / "circuit.pt")
    assert graph.tokens == ("<BOS>", "The", "managers")
    assert graph.prompt == "The managers"
    tokens = dict(graph.nodes.filter(pl.col("kind") != "logit").select("position", "token").unique().rows())
    assert tokens == {0: "<BOS>", 1: "The", 2: None}  # the prompts differ in the last
    assert row(graph.nodes, "answer")["position"] == 2
    save_circuit(tmp_path / "long.pt", 9)
    assert iw.read_graph(tmp_path / "long.pt").tokens == ()


@pytest.mark.parametrize("positions", [None, 3, 9])
def test_theirs_comes_back_as_it_was(tmp_path, positions) -> None:
    made = save_circuit(tmp_path / "circuit.pt", positions)
    graph = iw.read_graph(tmp_path / "circuit.pt")
    file = graph.save(tmp_path / "again.pt")
    assert iw.read_graph(file) == graph
    with their_code() as sparse_act:
        content = torch.load(file, weights_only=False)
    assert content["examples"] == made["examples"]
    for submodule, effect in made["effects"].items():
        act = content["nodes"][submodule]
        assert type(act) is sparse_act
        assert act.res is None
        assert torch.equal(torch.cat([act.act, act.resc], -1).float(), effect)
    for (upstream, downstream), weight in made["weights"].items():
        assert content["edges"][upstream][downstream].layout == torch.sparse_coo
        assert torch.equal(content["edges"][upstream][downstream].to_dense().float(), weight)


@pytest.mark.parametrize("seed", range(8))
def test_ours_comes_back_with_what_the_format_holds(tmp_path, seed) -> None:
    graph = circuit(seed, PAPER)
    back = iw.read_graph(graph.save(tmp_path / "circuit.pt"))
    held = ["node", "site", "layer", "position", "kind", "atom", "effect", "prompts"]
    order = pl.col("node")
    assert back.nodes.select(held).sort(order).equals(graph.nodes.select(held).sort(order))
    edges = ["source", "target", "weight"]
    assert back.edges.select(edges).sort(edges).equals(graph.edges.select(edges).sort(edges))
    assert back.sizes == graph.sizes
    assert back.nodes["token"].null_count() == back.nodes.height  # of three prompts the file has one


def test_submodules_that_their_code_looks_up_are_there(tmp_path) -> None:
    graph = circuit(1, PAPER)
    with their_code():
        content = torch.load(
            replace(graph, edges=graph.edges.head(1)).save(tmp_path / "circuit.pt"), weights_only=False
        )
        without = torch.load(replace(graph, edges=graph.edges.clear()).save(tmp_path / "nodes.pt"), weights_only=False)
    assert {"attn_0", "mlp_0", "resid_0"} <= set(content["edges"]["embed"])
    assert {"attn_1", "mlp_1", "resid_1"} <= set(content["edges"]["resid_0"])
    assert {"mlp_2", "resid_2"} <= set(content["edges"]["attn_2"])
    assert "y" in content["edges"]["resid_2"]
    size = SIZE + 1
    positions = len(graph.tokens)
    assert content["edges"]["resid_0"]["mlp_1"].shape == (positions, size, positions, size)
    assert without["edges"] is None
    assert iw.read_graph(tmp_path / "nodes.pt").edges.height == 0


def test_what_the_format_cannot_hold(tmp_path) -> None:
    file = tmp_path / "circuit.pt"
    graph = circuit(1, PAPER)
    with pytest.raises(
        GraphError, match=r"cannot stand in a \.pt file of Sparse Feature Circuits, which has atoms and errors of"
    ):
        circuit(1).save(file)
    with pytest.raises(
        GraphError, match=r"does not say how many atoms the dictionary of .* has, which a \.pt file needs"
    ):
        replace(graph, sizes={}).save(file)
    with pytest.raises(GraphError, match=r"is not among the 3 atoms that .* is said to have"):
        replace(graph, sizes=dict.fromkeys(graph.sizes, 3)).save(file)
    with pytest.raises(GraphError, match=r"has no effect, and a \.pt file of Sparse Feature Circuits has nothing else"):
        replace(graph, nodes=graph.nodes.with_columns(effect=pl.lit(None, pl.Float64))).save(file)
    summed = circuit(3, PAPER).nodes.filter(pl.col("kind") != "logit")
    with pytest.raises(GraphError, match="Some nodes have a position and some are summed"):
        replace(graph, nodes=pl.concat([graph.nodes, summed])).save(file)
    assert not file.exists()


# hostile files


class Evil:
    """Leaves a file where it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.marker, "was run")


def saved(file: Path, nodes: Any = None, edges: Any = None, **more: Any) -> Path:
    torch.save({"examples": [], "nodes": {} if nodes is None else nodes, "edges": edges, **more}, file)
    return file


def with_act(file: Path, edges: Any = None, **parts: Any) -> Path:
    """One submodule, embed, with these parts."""
    with their_code() as sparse_act:
        act = sparse_act(parts.pop("act", torch.ones(3)), resc=parts.pop("resc", torch.ones(1)))
        act.__dict__.update(parts)
        return saved(file, {"embed": act}, edges)


def refused(file: Path) -> str:
    with pytest.raises(GraphError) as caught:
        iw.read_graph(file)
    assert caught.value.__cause__ is None or not isinstance(caught.value.__cause__, MemoryError)
    return str(caught.value)


def test_no_code_in_a_file_is_run(tmp_path) -> None:
    for number, content in enumerate([{"examples": [Evil(tmp_path / "marker")]}, Evil(tmp_path / "marker")]):
        file = tmp_path / f"{number}.pt"
        torch.save({"nodes": {}, "edges": None} | content if isinstance(content, dict) else content, file)
        assert "code in a file is never run" in refused(file)
    with_act(tmp_path / "act.pt", extra=Evil(tmp_path / "marker"))
    assert "code in a file is never run" in refused(tmp_path / "act.pt")
    assert not (tmp_path / "marker").exists()


def test_the_evil_of_this_test_works(tmp_path) -> None:
    torch.save(Evil(tmp_path / "marker"), tmp_path / "evil.pt")
    torch.load(tmp_path / "evil.pt", weights_only=False)
    assert (tmp_path / "marker").read_text() == "was run"


def test_their_class_is_let_in_for_one_file_only(tmp_path) -> None:
    file = with_act(tmp_path / "circuit.pt")
    with torch.serialization.safe_globals([Evil]):  # someone else lets a class in for good
        before = list(torch.serialization.get_safe_globals())
        assert iw.read_graph(file).nodes.height == 5
        refused(saved(tmp_path / "other.pt", examples=[Path(tmp_path)]))
        assert set(torch.serialization.get_safe_globals()) == set(before)
        assert Evil in before
    with pytest.raises(pickle.UnpicklingError):
        torch.load(file, weights_only=True)


def test_the_class_that_stands_in_does_nothing() -> None:
    assert [key for key in vars(SparseAct) if callable(getattr(SparseAct, key)) and not key.startswith("__")] == []
    assert "__setstate__" not in vars(SparseAct)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ([1, 2], "holds a list, but must hold examples, nodes and edges"),
        ({"a": 1}, "holds an object, but must hold examples, nodes and edges"),
        ({"nodes": [1]}, "holds an object, but must hold examples, nodes and edges"),
        ({"nodes": {"embed": 3}}, "nodes['embed'] is the number 3, but must be a SparseAct"),
        ({"nodes": {"embed": torch.ones(3)}}, "nodes['embed'] is no JSON, but must be a SparseAct"),
        ({"nodes": {"block_3": None}}, "has a submodule 'block_3'; expected are embed, attn_0"),
        ({"nodes": {3: None}}, "has a submodule '3'; expected are embed, attn_0"),
        ({"nodes": {"attn_-1": None}}, "has a submodule 'attn_-1'; expected are embed, attn_0"),
        ({"nodes": {}, "edges": [1]}, "edges is a list, but must be a dict of dicts of tensors"),
        ({"nodes": {}, "edges": {"embed": 1}}, "edges is an object, but must be a dict of dicts of tensors"),
        ({"nodes": {}, "edges": {"embed": {"mlp_0": 1}}}, "edges['embed']['mlp_0']: nodes has no 'mlp_0'"),
    ],
)
def test_what_is_no_circuit(tmp_path, content, fault) -> None:
    torch.save(content, tmp_path / "circuit.pt")
    assert fault in refused(tmp_path / "circuit.pt")


@pytest.mark.parametrize(
    ("parts", "fault"),
    [
        ({"act": None}, "nodes['embed'].act must be a dense tensor of numbers"),
        ({"act": [1.0]}, "nodes['embed'].act must be a dense tensor of numbers"),
        ({"act": torch.ones(3, dtype=torch.int64)}, "nodes['embed'].act must be a dense tensor of numbers"),
        ({"act": torch.ones(3).to_sparse()}, "nodes['embed'].act must be a dense tensor of numbers"),
        ({"act": torch.ones(3, dtype=torch.complex64)}, "nodes['embed'].act must be a dense tensor of numbers"),
        ({"act": torch.ones(3, device="meta")}, "nodes['embed'].act must be a dense tensor of numbers"),
        ({"act": torch.tensor([1.0, float("nan")])}, "nodes['embed'].act has a number that is not finite"),
        ({"resc": torch.tensor([float("inf")])}, "nodes['embed'].resc has a number that is not finite"),
        ({"act": torch.ones(1).expand(10**12)}, "nodes['embed'].act says that it is larger than the file"),
        ({"act": torch.ones(())}, "nodes['embed'] has act () and resc (1,)"),
        ({"act": torch.ones(2, 2, 2)}, "nodes['embed'] has act (2, 2, 2) and resc (1,)"),
        ({"act": torch.ones(2, 3)}, "nodes['embed'] has act (2, 3) and resc (1,)"),
        ({"resc": torch.ones(2)}, "nodes['embed'] has act (3,) and resc (2,)"),
        ({"resc": None}, "nodes['embed'].resc must be a dense tensor of numbers"),
    ],
)
def test_acts_that_do_not_fit(tmp_path, parts, fault) -> None:
    assert fault in refused(with_act(tmp_path / "circuit.pt", **parts))


def sparse(indices: list[list[int]], values: list[float], size: tuple[int, ...]) -> torch.Tensor:
    """Not checked by torch, as in a file."""
    return torch.sparse_coo_tensor(torch.tensor(indices), torch.tensor(values), size, check_invariants=False)


@pytest.mark.parametrize(
    ("weights", "fault"),
    [
        (3, "must be a tensor, sparse in coordinates"),
        (torch.ones(4, 4, dtype=torch.int8), "must be a dense tensor of numbers"),
        (sparse([[0], [0]], [1.0], (4, 5)), "has the shape (4, 5), but must have (4, 4)"),
        (sparse([[0], [0]], [1.0], (10**9, 10**9)), "has the shape (1000000000, 1000000000), but must have (4, 4)"),
        (torch.ones(5, 4), "has the shape (5, 4), but must have (4, 4)"),
        (sparse([[4], [0]], [1.0], (4, 4)), "has an index outside its shape"),
        (sparse([[-1], [0]], [1.0], (4, 4)), "has an index outside its shape"),
        (sparse([[2**62], [0]], [1.0], (4, 4)), "has an index outside its shape"),
        (sparse([[0], [0]], [float("nan")], (4, 4)), "has a number that is not finite"),
    ],
)
@pytest.mark.filterwarnings("ignore:Sparse:UserWarning")
def test_weights_that_do_not_fit(tmp_path, weights, fault) -> None:
    assert fault in refused(with_act(tmp_path / "circuit.pt", edges={"embed": {"embed": weights}}))


def test_dense_weights_and_repeated_indices_are_read(tmp_path) -> None:
    twice = sparse([[0, 0], [1, 1]], [1.0, 2.0], (4, 4))
    for weights, weight in ((twice, 3.0), (twice.to_dense(), 3.0)):
        graph = iw.read_graph(with_act(tmp_path / "circuit.pt", edges={"embed": {"embed": weights}}))
        assert graph.edges.select("source", "target", "weight").rows() == [("embed/1", "embed/0", weight)]


def test_submodules_of_other_lengths(tmp_path) -> None:
    with their_code() as sparse_act:
        acts = {f"mlp_{n}": sparse_act(torch.ones(n + 2, 3), resc=torch.ones(n + 2, 1)) for n in range(2)}
        saved(tmp_path / "circuit.pt", acts)
    assert "the submodules differ in their number of positions" in refused(tmp_path / "circuit.pt")


def test_the_effect_of_the_metric_is_passed_over(tmp_path) -> None:
    with their_code() as sparse_act:
        acts = {"y": torch.ones(()), "mlp_0": sparse_act(torch.ones(3), resc=torch.ones(1))}
        saved(tmp_path / "circuit.pt", acts)
    assert iw.read_graph(tmp_path / "circuit.pt").nodes.height == 5


def test_files_that_unfold(tmp_path) -> None:
    good, packed = with_act(tmp_path / "good.pt"), tmp_path / "packed.pt"
    with zipfile.ZipFile(good) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for part in old.namelist():
            new.writestr(part, old.read(part))
    assert "is packed, which no file of torch.save is" in refused(packed)


@pytest.mark.parametrize("keep", [0, 1, 30, 0.5, 0.9])
def test_damaged_files(tmp_path, keep) -> None:
    content = with_act(tmp_path / "good.pt").read_bytes()
    cut = tmp_path / "cut.pt"
    cut.write_bytes(content[: keep if isinstance(keep, int) else int(len(content) * keep)])
    assert "is no file of torch.save" in refused(cut)


def test_a_changed_byte_is_no_traceback(tmp_path) -> None:
    """Each byte of the pickle in turn: read, or refused with a sentence."""
    good, file = with_act(tmp_path / "good.pt"), tmp_path / "bad.pt"
    with zipfile.ZipFile(good) as old:
        parts = {part: old.read(part) for part in old.namelist()}
    [name] = [part for part in parts if part.endswith("data.pkl")]
    outcomes = set()
    for place in range(0, len(parts[name]), 3):
        changed = bytearray(parts[name])
        changed[place] ^= 0x5A
        with zipfile.ZipFile(file, "w") as new:
            for part, content in parts.items():
                new.writestr(part, bytes(changed) if part == name else content)
        try:
            iw.read_graph(file)
            outcomes.add("read")
        except GraphError:
            outcomes.add("refused")
    assert "refused" in outcomes


def test_a_pickle_without_the_archive(tmp_path) -> None:
    file = tmp_path / "circuit.pt"
    stream = io.BytesIO()
    torch.save({"nodes": {}}, stream, _use_new_zipfile_serialization=False)
    for content in (stream.getvalue(), pickle.dumps({"nodes": OrderedDict()})):
        file.write_bytes(content)
        assert "is no file of torch.save as it has been since torch 1.6" in refused(file)


def test_a_graph_of_circuit_tracer_in_tensors(tmp_path) -> None:
    """Graph.to_pt saves its configuration as an object; the sentence says what to do."""
    import sys
    from types import ModuleType

    module = ModuleType("circuit_tracer")
    exec("class Config: pass", module.__dict__)
    sys.modules[module.__name__] = module
    try:
        torch.save({"cfg": module.Config(), "adjacency_matrix": torch.ones(2, 2)}, tmp_path / "graph.pt")
    finally:
        del sys.modules[module.__name__]
    assert "Write it as JSON with circuit_tracer.utils.create_graph_files" in refused(tmp_path / "graph.pt")
