"""Circuits as the code of Sparse Feature Circuits saves them (arXiv:2403.19647): `{"examples", "nodes", "edges"}` in a `.pt` file.

- `nodes[submodule]`: a SparseAct, `act` [(S,) F] and `resc` [(S,) 1]: effects of F atoms and of the error, at S positions or
  summed.
- `edges[upstream][downstream]`: sparse [(S,) F + 1, (S,) F + 1], downstream first; the last index is the error. `y` is the
  metric: `edges[upstream]["y"]` is [(S,) F + 1].

Submodules are `embed`, `attn_0`, `mlp_0`, `resid_0` and so on. Their effect is m(patch) - m(clean) of a metric with the opposite
sign of ours, so the numbers are the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from ..errors import GraphError
from ..frames.circuits import ANSWER, GRAPH_EDGES, Node, parse_node
from ..frames.schema import build
from .annotations import own_site
from .graph import Graph, node_frame
from .sparse_act import SparseAct, load
from .structure import LARGEST, clean, kind_of

if TYPE_CHECKING:
    import torch

EXAMPLES = "feature_circuits"
"""Key of `Graph.facts` under which the examples of the file are kept."""
METRIC = "y"
PROMPTS = "prompts"
"""Key of ours in a file, where it has fewer examples than the circuit prompts; that code does not look at it."""
MOST_NODES = 2_000_000


class Shape(NamedTuple):
    """Of a submodule: positions (None if summed) and atoms."""

    positions: int | None
    atoms: int


def read_circuit(file: Path) -> Graph:
    """A graph of all nodes whose effect is not 0, and of the ends of all edges.

    The file does not say activations, the method, the model, or tokens. Tokens are the words of the first clean prompt where there
    is one per position, as that code's plots have them.

    Raises:
        GraphError: a file that cannot be read, or does not hold such a circuit.
    """
    content = load(file)
    if not isinstance(content, Mapping) or not isinstance(content.get("nodes"), Mapping):
        raise GraphError(
            f"{file} holds {kind_of(content)}, but must hold examples, nodes and edges, as circuit.py of Sparse Feature Circuits "
            "saves them."
        )
    shapes: dict[str, Shape] = {}
    effects: dict[Node, float] = {}
    for name, act in content["nodes"].items():
        if name != METRIC:
            shapes[name] = _read_nodes(name, act, effects, file)
    if len({shape.positions for shape in shapes.values()}) > 1:
        raise GraphError(f"{file}: the submodules differ in their number of positions, {shapes}.")
    edges = _read_edges(content.get("edges"), shapes, file)
    positions = next(iter(shapes.values())).positions if shapes else None
    examples = content.get("examples")
    examples = examples if isinstance(examples, list) else []
    prompts = content.get(PROMPTS)
    prompts = prompts if type(prompts) is int and 0 < prompts <= LARGEST else len(examples)
    for node in (parse_node(end) for source, target, _ in edges for end in (source, target)):
        if node is not None:
            effects.setdefault(node, 0.0)
    tokens, alike = _words(examples, positions)
    if prompts > len(examples):  # the others may differ
        alike = [False] * len(tokens)
    return Graph(
        nodes=_node_rows(effects, tokens, alike, prompts, positions),
        edges=build(GRAPH_EDGES, {
            "source": [edge[0] for edge in edges],
            "target": [edge[1] for edge in edges],
            "weight": [edge[2] for edge in edges],
            "low": [None] * len(edges),
            "high": [None] * len(edges),
        }),
        tokens=tokens,
        prompt=_prefix(examples[0]) if examples else "",
        sizes={_site(name, file): shape.atoms for name, shape in shapes.items()},
        facts={EXAMPLES: {"examples": examples, "positions": positions}},
    )  # fmt: skip


def _read_nodes(name: Any, act: Any, effects: dict[Node, float], file: Path) -> Shape:
    place = f"{file}, nodes[{name!r}]"
    site = _site(name, file)
    if not isinstance(act, SparseAct):
        raise GraphError(f"{place} is {kind_of(act)}, but must be a SparseAct.")
    atoms, errors = _dense(act.act, f"{place}.act", file), _dense(act.resc, f"{place}.resc", file)
    if atoms.dim() not in (1, 2) or errors.shape != (*atoms.shape[:-1], 1):
        raise GraphError(
            f"{place} has act {tuple(atoms.shape)} and resc {tuple(errors.shape)}, but must have (atoms,) and (1,), both with "
            "positions before them or neither."
        )
    shape = Shape(atoms.shape[0] if atoms.dim() == 2 else None, atoms.shape[-1])
    for tensor, error in ((atoms, False), (errors, True)):
        where = tensor.nonzero()
        if len(effects) + len(where) > MOST_NODES:
            raise GraphError(f"{file} has more than {MOST_NODES:,} nodes with an effect; that is too many to show.")
        for index, effect in zip(where.tolist(), tensor[tuple(where.T)].tolist(), strict=True):
            position = index[0] if shape.positions is not None else None
            effects[Node(site, None if error else index[-1], position)] = effect
    return shape


def _read_edges(found: Any, shapes: Mapping[str, Shape], file: Path) -> list[tuple[str, str, float]]:
    if found is None:  # saved with --nodes_only
        return []
    if not isinstance(found, Mapping) or not all(isinstance(each, Mapping) for each in found.values()):
        raise GraphError(f"{file}: edges is {kind_of(found)}, but must be a dict of dicts of tensors, upstream first.")
    edges: list[tuple[str, str, float]] = []
    for upstream, downstreams in found.items():
        for downstream, weights in downstreams.items():
            place = f"{file}, edges[{upstream!r}][{downstream!r}]"
            ends = [upstream] if downstream == METRIC else [downstream, upstream]
            if stray := [end for end in ends if end not in shapes]:
                raise GraphError(f"{place}: nodes has no {stray[0]!r}.")
            expected = tuple(
                size for end in ends for size in (shapes[end].positions, shapes[end].atoms + 1) if size is not None
            )
            for index, weight in _sparse(weights, expected, place, file):
                half = len(index) // 2 if downstream != METRIC else 0
                target = str(_node(downstream, index[:half], shapes)) if downstream != METRIC else ANSWER
                edges.append((str(_node(upstream, index[half:], shapes)), target, weight))
            if len(edges) > MOST_NODES:
                raise GraphError(f"{file} has more than {MOST_NODES:,} edges; that is too many to show.")
    return sorted(edges, key=lambda edge: -abs(edge[2]))


def _dense(tensor: Any, place: str, file: Path) -> torch.Tensor:
    """Finite numbers, float64; a tensor can say that it is larger than the file that holds it."""
    import torch

    types = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
    fits = isinstance(tensor, torch.Tensor) and tensor.layout == torch.strided and tensor.device.type == "cpu"
    if not fits or tensor.dtype not in types:
        raise GraphError(f"{place} must be a dense tensor of numbers.")
    if tensor.numel() * tensor.element_size() > file.stat().st_size:
        raise GraphError(f"{place} says that it is larger than the file; it is damaged.")
    if not bool(tensor.isfinite().all()):
        raise GraphError(f"{place} has a number that is not finite.")
    return tensor.double()


def _sparse(tensor: Any, expected: tuple[int, ...], place: str, file: Path) -> Iterator[tuple[list[int], float]]:
    """Index and value of what is not 0. Nobody has checked the indices yet, so torch may do nothing with the whole."""
    import torch

    if isinstance(tensor, torch.Tensor) and tensor.layout == torch.strided:
        values = _dense(tensor, place, file)
        if tuple(values.shape) != expected:
            raise GraphError(f"{place} has the shape {tuple(values.shape)}, but must have {expected}.")
        where = values.nonzero()
        return zip(where.tolist(), values[tuple(where.T)].tolist(), strict=True)
    if not isinstance(tensor, torch.Tensor) or tensor.layout != torch.sparse_coo:
        raise GraphError(f"{place} must be a tensor, sparse in coordinates.")
    if tuple(tensor.shape) != expected:
        raise GraphError(f"{place} has the shape {tuple(tensor.shape)}, but must have {expected}.")
    indices, values = tensor._indices(), _dense(tensor._values(), place, file)
    if (
        indices.dtype != torch.int64
        or indices.numel() * 8 > file.stat().st_size
        or indices.shape != (len(expected), len(values))
    ):
        raise GraphError(f"{place} has indices that do not fit its values; it is damaged.")
    within = (indices >= 0) & (indices < torch.tensor(expected).unsqueeze(1))
    if values.dim() != 1 or not bool(within.all()):
        raise GraphError(f"{place} has an index outside its shape; it is damaged.")
    sums: dict[tuple[int, ...], float] = {}
    for index, value in zip(indices.T.tolist(), values.tolist(), strict=True):
        sums[tuple(index)] = sums.get(tuple(index), 0.0) + value
    return ((list(index), value) for index, value in sums.items() if value)


def _site(name: Any, file: Path) -> str:
    site = own_site(name) if isinstance(name, str) else None
    if site is None:
        raise GraphError(
            f"{file} has a submodule {str(name)[:40]!r}; expected are embed, attn_0, mlp_0, resid_0 and so on."
        )
    return site


def _node(submodule: str, index: list[int], shapes: Mapping[str, Shape]) -> Node:
    shape = shapes[submodule]
    atom = None if index[-1] == shape.atoms else index[-1]
    return Node(str(own_site(submodule)), atom, index[0] if shape.positions is not None else None)


def _node_rows(
    effects: Mapping[Node, float], tokens: tuple[str, ...], alike: list[bool], prompts: int, positions: int | None
) -> pl.DataFrame:
    """Columns GRAPH_NODES, the largest effect first; the metric last."""
    ordered = sorted(effects.items(), key=lambda item: -abs(item[1]))
    known = {i: token for i, token in enumerate(tokens) if alike[i]}
    rows: dict[str, list[Any]] = {
        "node": [str(node) for node, _ in ordered],
        "site": [node.site for node, _ in ordered],
        "layer": [None if node.site == "embed" else int(node.site.rpartition(".")[2]) for node, _ in ordered],
        "position": [node.position for node, _ in ordered],
        "token": [known.get(-1 if node.position is None else node.position) for node, _ in ordered],
        "kind": ["error" if node.atom is None else "atom" for node, _ in ordered],
        "atom": [node.atom for node, _ in ordered],
        "effect": [effect for _, effect in ordered],
        "prompts": [prompts or None] * len(ordered),
    }
    last = None if positions is None else positions - 1
    answer = {"node": ANSWER, "kind": "logit", "position": last, "token": known.get(-1 if last is None else last)}
    for name, column in rows.items():
        column.append(answer.get(name))
    return node_frame(pl.DataFrame(rows))


def _prefix(example: Any) -> str:
    text = example.get("clean_prefix") if isinstance(example, Mapping) else None
    return clean(text) if isinstance(text, str) else ""


def _words(examples: list[Any], positions: int | None) -> tuple[tuple[str, ...], list[bool]]:
    """The first clean prompt's words, one per position, and which of them all prompts share; empty where the numbers differ."""
    split = [_prefix(each).split() for each in examples]
    if positions is None or not split or len(split[0]) not in (positions, positions - 1):
        return (), []
    lead = ["<BOS>"] * (positions - len(split[0]))
    words = [lead + each for each in split]
    return tuple(words[0]), [len({tuple(each[i : i + 1]) for each in words}) == 1 for i in range(positions)]
