"""A graph without its model: what stands in the model's place, and the graph as plain values for pages and notebooks."""

from __future__ import annotations

from typing import Any

from .. import __version__
from ..errors import GraphError, InterpError, KeptError
from ..graphs.graph import Graph
from .kept import pack_frame, unpack_frame

_PLAIN = ("prompt", "model", "metric")
_TUPLES = ("tokens", "dictionaries", "pinned", "hidden", "notes")


class NoModel:
    """Stands for the model of a graph that is shown without it."""

    host = source = recorded = ""
    book = None

    def __init__(self, name: str) -> None:
        self.name = name

    def provenance(self) -> dict[str, Any]:
        """What is known of the model: its name, as the graph has it."""
        return {"model": self.name, "source": "a graph without its model", "versions": {"interp_widgets": __version__}}


def refusal(misfit: str, what: str) -> GraphError:
    """Why something cannot be done that needs the model of a graph. `misfit`: why the model that was given does not do."""
    return GraphError(
        misfit or f"This graph is shown without its model, so {what}. Give it: iw.Circuit(iw.load(...), graph=graph)."
    )


def plain(graph: Graph) -> dict[str, Any]:
    """A graph as JSON has it, but for what only its own file holds."""
    return {
        "nodes": pack_frame(graph.nodes),
        "edges": pack_frame(graph.edges),
        **{name: getattr(graph, name) for name in _PLAIN},
        **{name: list(getattr(graph, name)) for name in _TUPLES},
        "sizes": dict(graph.sizes),
        "asked": dict(graph.asked),
        "labels": dict(graph.labels),
        "groups": {name: list(nodes) for name, nodes in graph.groups.items()},
    }


def again(kept: Any) -> Graph:
    """What `plain` has made plain.

    Raises:
        KeptError: it is damaged, or was too large to be kept.
    """
    if not isinstance(kept, dict) or not (kept.get("nodes") and kept.get("edges")):
        raise KeptError("The graph was too large to be kept. Open its file again with iw.read_graph.")
    try:
        parts: dict[str, Any] = {name: str(kept[name]) for name in _PLAIN}
        parts |= {name: tuple(map(str, kept[name])) for name in _TUPLES}
        return Graph(
            nodes=unpack_frame(kept["nodes"]),
            edges=unpack_frame(kept["edges"]),
            **parts,
            sizes={str(site): int(size) for site, size in kept["sizes"].items()},
            asked=dict(kept.get("asked", {})),
            labels={str(node): str(text) for node, text in kept["labels"].items()},
            groups={str(name): tuple(map(str, nodes)) for name, nodes in kept["groups"].items()},
        )
    except (InterpError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise KeptError(f"The kept graph is damaged: {error}.") from error
