"""Writing a circuit as the code of Sparse Feature Circuits saves it; feature_circuits.py says what stands where."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import GraphError
from ..frames.circuits import ANSWER, Node, parse_node
from .annotations import their_site
from .feature_circuits import EXAMPLES, METRIC, PROMPTS, Shape
from .graph import Graph
from .sparse_act import SparseAct, dump

if TYPE_CHECKING:
    import torch


def write_circuit(graph: Graph, file: Path) -> None:
    """The file that `circuit.py` would have saved; its code reads it where its SparseAct can be imported.

    Raises:
        GraphError: a node that is no atom or error of a site that it has, one without effect, or a dictionary of unknown size.
    """
    import torch

    kept = graph.facts.get(EXAMPLES, {})
    rows = [row for row in graph.nodes.iter_rows(named=True) if row["node"] != ANSWER]
    nodes = [_their_node(row, graph.sizes) for row in rows]
    summed = {node.position is None for _, node in nodes}
    if len(summed) > 1:
        raise GraphError(
            "Some nodes have a position and some are summed over positions; a .pt file holds one or the other."
        )
    positions = None
    if nodes and not summed.pop():
        last = max(node.position or 0 for _, node in nodes)
        positions = max(len(graph.tokens), kept.get("positions") or 0, last + 1)
    shapes = {theirs: Shape(positions, size) for site, size in graph.sizes.items() if (theirs := their_site(site))}
    lead = () if positions is None else (positions,)
    tensors = {name: torch.zeros(*lead, shape.atoms + 1, dtype=torch.float64) for name, shape in shapes.items()}
    for (name, node), row in zip(nodes, rows, strict=True):
        tensors[name][_index(node, shapes[name])] = row["effect"]
    examples = kept.get("examples") or ([{"clean_prefix": graph.prompt}] if graph.prompt else [])
    prompts = max((row["prompts"] or 0 for row in rows), default=0)
    content = {
        "examples": examples,
        **({PROMPTS: prompts} if prompts > len(examples) else {}),
        "nodes": {name: _act(tensor) for name, tensor in tensors.items()},
        "edges": _edge_tensors(graph, shapes) if graph.edges.height else None,  # as saved with --nodes_only
    }
    dump(content, file)


def _their_node(row: Mapping[str, Any], sizes: Mapping[str, int]) -> tuple[str, Node]:
    """Their submodule and the parts of the node's name."""
    node = parse_node(row["node"])
    name = their_site(node.site) if node else None
    if node is None or name is None:
        raise GraphError(
            f"{row['node']} cannot stand in a .pt file of Sparse Feature Circuits, which has atoms and errors of embed, attn_out, "
            "mlp_out and resid_post. Save the graph as .json."
        )
    if row["effect"] is None:
        raise GraphError(
            f"{row['node']} has no effect, and a .pt file of Sparse Feature Circuits has nothing else. Save the graph as .json."
        )
    if node.site not in sizes:
        raise GraphError(
            f"The graph does not say how many atoms the dictionary of {node.site} has, which a .pt file needs: "
            f'dataclasses.replace(graph, sizes={{"{node.site}": ...}}).'
        )
    if node.atom is not None and node.atom >= sizes[node.site]:
        raise GraphError(
            f"{row['node']} is not among the {sizes[node.site]:,} atoms that the dictionary of {node.site} is said to have."
        )
    return name, node


def _index(node: Node, shape: Shape) -> tuple[int, ...]:
    unit = shape.atoms if node.atom is None else node.atom
    return (unit,) if shape.positions is None else (node.position or 0, unit)


def _act(tensor: torch.Tensor) -> SparseAct:
    act = SparseAct()
    act.act, act.res, act.resc = tensor[..., :-1].clone(), None, tensor[..., -1:].clone()
    return act


def _edge_tensors(graph: Graph, shapes: Mapping[str, Shape]) -> dict[str, dict[str, torch.Tensor]]:
    import torch

    parts: dict[tuple[str, str], list[tuple[tuple[int, ...], float]]] = {pair: [] for pair in _pairs(shapes)}
    for source, target, weight, *_ in graph.edges.iter_rows():
        up, down = parse_node(source), parse_node(target)
        if up is None or (down is None and target != ANSWER):
            raise GraphError(
                f"The edge from {source} to {target} cannot stand in a .pt file of Sparse Feature Circuits."
            )
        upstream = str(their_site(up.site))
        downstream = METRIC if down is None else str(their_site(down.site))
        lead = () if down is None else _index(down, shapes[downstream])
        parts.setdefault((upstream, downstream), []).append((lead + _index(up, shapes[upstream]), weight))
    edges: dict[str, dict[str, torch.Tensor]] = {}
    for (upstream, downstream), found in parts.items():
        ends = [upstream] if downstream == METRIC else [downstream, upstream]
        size = [n for end in ends for n in (shapes[end].positions, shapes[end].atoms + 1) if n is not None]
        indices = torch.tensor([index for index, _ in found], dtype=torch.int64).reshape(-1, len(size)).T
        values = torch.tensor([weight for _, weight in found], dtype=torch.float64)
        edges.setdefault(upstream, {})[downstream] = torch.sparse_coo_tensor(
            indices, values, size, check_invariants=True
        ).coalesce()
    return edges


def _pairs(shapes: Mapping[str, Shape]) -> list[tuple[str, str]]:
    """Pairs of submodules whose edges that code looks up, even where there are none."""
    layers = {int(name.partition("_")[2]) for name in shapes if name != "embed"}
    pairs = [(f"resid_{max(layers)}", METRIC)] if layers else []
    for i in layers:
        before, attn, mlp, resid = f"resid_{i - 1}" if i else "embed", f"attn_{i}", f"mlp_{i}", f"resid_{i}"
        pairs += [(mlp, resid), (attn, resid), (attn, mlp), (before, mlp), (before, attn), (before, resid)]
    return [(up, down) for up, down in pairs if up in shapes and down in (METRIC, *shapes)]
