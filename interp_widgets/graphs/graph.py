"""A circuit as it is shown: nodes, edges, the prompt, and what a person has made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import polars as pl

from ..errors import GraphError
from ..frames.circuits import ANSWER, CIRCUIT_NODES, GRAPH_EDGES, GRAPH_NODES
from ..frames.schema import build, check

KINDS = ("atom", "error", "embedding", "logit", "other")
ASKED = ("clean", "corrupt", "answer", "foil")


@dataclass(frozen=True, eq=False)
class Graph:
    """A circuit graph, of this package or out of a file. Change it with `dataclasses.replace`.

    Raises:
        FrameError: a frame with other columns than it must have.
        GraphError: two nodes of one name, a kind that there is not, an edge, label, group, pin or hidden node without a node, or
            something in `asked` that no method takes.
    """

    nodes: pl.DataFrame
    """Columns GRAPH_NODES: one row per node. What is measured is a node of kind logit; of a circuit of this package its name is
    `answer`."""
    edges: pl.DataFrame
    """Columns GRAPH_EDGES."""
    tokens: tuple[str, ...] = ()
    """The tokens of the prompt; empty where positions are summed over prompts that differ."""
    prompt: str = ""
    model: str = ""
    """Name of the model, as the file or the session has it."""
    dictionaries: tuple[str, ...] = ()
    """Names of the dictionaries."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Site -> number of atoms of its dictionary, where known. Only writing `.pt` needs it."""
    metric: str = ""
    """What is measured, in words, such as `logit( is) - logit( are)`."""
    asked: Mapping[str, Any] = field(default_factory=dict)
    """What the circuit was found on, as `methods.circuit` takes it: `clean`, `corrupt`, `answer`, `foil`, each a text, an id or
    a list of these; empty where a file does not say."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Node -> what a person or a file calls it."""
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Supernodes: name -> their nodes."""
    pinned: tuple[str, ...] = ()
    """Nodes that a person has put aside to look at."""
    hidden: tuple[str, ...] = ()
    """Nodes that a person has hidden."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What else the file says, so that writing it again loses nothing. Only the reader and the writer of its format look here."""
    notes: tuple[str, ...] = ()
    """What a reader should know about the file, a sentence each, such as links that lead to no node."""

    def __post_init__(self) -> None:
        check(self.nodes, GRAPH_NODES)
        check(self.edges, GRAPH_EDGES)
        if odd := set(self.nodes["kind"]) - set(KINDS):
            raise GraphError(f"A node is of the kind {min(odd)!r}; the kinds are {', '.join(KINDS)}.")
        names = set(self.nodes["node"])
        if len(names) < self.nodes.height:
            twice = self.nodes["node"].filter(self.nodes["node"].is_duplicated())[0]
            raise GraphError(f"Two nodes are called {twice}; each needs a name of its own.")
        if wrong := [name for name, value in self.asked.items() if name not in ASKED or not _is_askable(value)]:
            raise GraphError(
                f"What was asked has {wrong[0]!r}, but must be {', '.join(ASKED)}: each a text, a token id or a list of these."
            )
        for where, used in self._uses():
            if stray := [name for name in used if name not in names]:
                raise GraphError(f"{where} name {stray[0]}, which is no node of this graph.")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Graph):
            return NotImplemented
        frames = self.nodes.equals(other.nodes) and self.edges.equals(other.edges)
        rest = [part.name for part in fields(self) if part.name not in ("nodes", "edges")]
        return frames and all(getattr(self, name) == getattr(other, name) for name in rest)

    __hash__ = None  # type: ignore[assignment]  # equal by its content, which is too large to hash

    def __repr__(self) -> str:
        of = f" of {self.prompt[:60]!r}" if self.prompt else ""
        return f"<Graph: {self.nodes.height} nodes, {self.edges.height} edges{of}>"

    @classmethod
    def of(
        cls,
        nodes: pl.DataFrame,
        edges: pl.DataFrame | None = None,
        *,
        tokens: tuple[str, ...] = (),
        **rest: Any,
    ) -> Graph:
        """The graph of a circuit: frames of `methods.circuit` and `methods.circuit_edges`, and the answer as a node.

        Args:
            nodes: columns CIRCUIT_NODES.
            edges: columns CIRCUIT_EDGES; none if left out.
            tokens: the tokens of the clean prompt, where positions are kept apart.
            rest: further fields of the graph.

        Raises:
            FrameError, GraphError: as for the class.
        """
        position = len(tokens) - 1 if tokens else None
        answer = {"node": ANSWER, "kind": "logit", "position": position, "token": tokens[-1] if tokens else None}
        rows = pl.concat([nodes, pl.DataFrame([answer], schema_overrides={"position": pl.Int32})], how="diagonal")
        return cls(
            nodes=node_frame(rows),
            edges=build(GRAPH_EDGES, {name: [] for name in GRAPH_EDGES}) if edges is None else edges,
            tokens=tuple(tokens),
            **rest,
        )

    def circuit_nodes(self) -> pl.DataFrame:
        """The atoms and errors as methods take them (`nodes=`), so that a circuit out of a file can be measured on its model.

        Returns:
            Columns CIRCUIT_NODES, in the order of the graph. What a file does not say is NaN (activations), 0 (prompts) or
            `unknown` (the method).

        Raises:
            GraphError: a node that does not say its site or effect, as in graphs of circuit-tracer.
        """
        units = self.nodes.filter(pl.col("kind").is_in(["atom", "error"])).select(list(CIRCUIT_NODES))
        for name in ("site", "effect"):
            if units[name].null_count():
                node = units.filter(pl.col(name).is_null())["node"][0]
                raise GraphError(
                    f"{node} does not say its {name}, so this graph is no circuit that a method could measure."
                )
        unknown = {"activation": float("nan"), "corrupt_activation": float("nan"), "prompts": 0, "method": "unknown"}
        return check(
            units.with_columns(pl.col(name).fill_null(value) for name, value in unknown.items()), CIRCUIT_NODES
        )

    def annotated(self, annotations: str | Path | Mapping[str, str]) -> Graph:
        """The same graph with more labels; a node that has one gets the new one.

        Args:
            annotations: text by node (`resid_post.5/3036@4`) or by atom, for all its positions (`resid_post.5/3036`, or as the
                code of Sparse Feature Circuits writes it, `resid_5/3036`); or a file of annotation lines (`.jsonl`) of that
                code. What is not in the graph is passed over.

        Raises:
            GraphError: a file that cannot be read, or is none of annotation lines.
        """
        from .annotations import labels_for, read_annotations

        texts = annotations if isinstance(annotations, Mapping) else read_annotations(annotations)
        return replace(self, labels={**self.labels, **labels_for(self, texts)})

    def save(self, path: str | Path) -> Path:
        """Write the graph to a file, whose ending says the format.

        Args:
            path: `.json`: as circuit-tracer and Neuronpedia have it. `.pt`: as the code of Sparse Feature Circuits saves a circuit;
                for this `sizes` must hold the sites of all nodes. `.jsonl`: the labels of atoms alone, as that code's annotation
                lines.

        Returns:
            The file.

        Raises:
            GraphError: another ending, a file that cannot be written, or a graph that the format cannot hold.
        """
        from .files import write

        return write(self, Path(path).expanduser())

    def _uses(self) -> list[tuple[str, list[str]]]:
        return [
            ("Edges", [*self.edges["source"].unique(), *self.edges["target"].unique()]),
            ("Labels", list(self.labels)),
            ("Groups", [node for members in self.groups.values() for node in members]),
            ("Pins", list(self.pinned)),
            ("Hidden nodes", list(self.hidden)),
        ]


def _is_askable(value: Any, depth: int = 2) -> bool:
    """Whether a value is a text, a whole number, or a list of such, or of lists of such."""
    if isinstance(value, list):
        return depth > 0 and all(_is_askable(each, depth - 1) for each in value)
    return isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31)


def node_frame(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows in the columns GRAPH_NODES; a column that they lack is null."""
    return check(
        rows.select(
            pl.col(name).cast(column.dtype) if name in rows.columns else pl.lit(None, column.dtype).alias(name)
            for name, column in GRAPH_NODES.items()
        ),
        GRAPH_NODES,
    )
