"""What a person makes of a circuit: labels, pins, groups, what is hidden, what is selected. Nothing here computes effects."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import polars as pl

from ..errors import GraphError
from .circuit_traits import group_traits

if TYPE_CHECKING:
    from ..graphs.graph import Graph
    from ..graphs.page import Page

NAME = 80
"""Characters of a label or of the name of a group."""


class Edits:
    """The part of a circuit panel that a person changes by hand, by name of the node, so that it outlasts another run."""

    if TYPE_CHECKING:
        frame: pl.DataFrame
        labels: dict[str, str]
        pinned: list[str]
        hidden: list[str]
        groups: list[dict[str, Any]]
        selected: list[str]
        _page: Page
        hold_sync: Callable[[], Any]
        set_traits: Callable[[dict[str, Any]], None]

        @property
        def _bare(self) -> Graph: ...

    @property
    def graph(self) -> Graph:
        """The circuit as it is shown, with labels, groups, pins and what is hidden; see `iw.graphs.Graph`."""
        return self._edited(self._bare)

    def _edited(self, bare: Graph) -> Graph:
        """A graph with what a person has made of it, as far as it has those nodes."""
        names = set(bare.nodes["node"])
        groups = {each["name"]: tuple(n for n in each["nodes"] if n in names) for each in self.groups}
        return replace(
            bare,
            labels={node: text for node, text in self.labels.items() if node in names},
            groups={name: nodes for name, nodes in groups.items() if nodes},
            pinned=tuple(n for n in self.pinned if n in names),
            hidden=tuple(n for n in self.hidden if n in names),
        )

    @property
    def selection(self) -> pl.DataFrame:
        """The rows of `frame` of the selected nodes."""
        return self.frame.filter(pl.col("node").is_in(self.selected))

    def select(self, *nodes: str) -> None:
        """Select nodes by name; the card of the last one is shown. No argument clears the selection.

        Raises:
            GraphError: no node of that name.
        """
        self.selected = self._checked(nodes)

    def label(self, node: str, text: str) -> None:
        """Call a node something; an empty text takes the label away.

        Raises:
            GraphError: no node of that name.
        """
        self._checked([node])
        rest = {name: said for name, said in self.labels.items() if name != node}
        self.labels = rest | ({node: text.strip()[:NAME]} if text.strip() else {})

    def pin(self, *nodes: str, on: bool = True) -> None:
        """Show nodes whatever the threshold is; `on=False` lets them go.

        Raises:
            GraphError: no node of that name.
        """
        self.pinned = self._put(self.pinned, nodes, on)

    def hide(self, *nodes: str, on: bool = True) -> None:
        """Do not draw nodes; `on=False` draws them again.

        Raises:
            GraphError: no node of that name.
        """
        self.hidden = self._put(self.hidden, nodes, on)

    def group(self, name: str, nodes: Iterable[str] = ()) -> None:
        """Draw nodes as one, a supernode. Each leaves the group that it was in; no nodes: the group is gone.

        Raises:
            GraphError: no node of that name, or one that stands for what is measured; or a group without a name.
        """
        name, chosen = name.strip()[:NAME], self._checked(nodes)
        if not name:
            raise GraphError("A group needs a name.")
        answers = set(self._page.nodes.filter(kind="logit")["node"])
        if measured := [node for node in chosen if node in answers]:
            raise GraphError(f"{measured[0]} is what is measured, so it cannot be in a group.")
        members = {each["name"]: [n for n in each["nodes"] if n not in chosen] for each in self.groups}
        self._regroup({**members, name: chosen})

    def _regroup(self, members: dict[str, list[str]]) -> None:
        with self.hold_sync():
            self.set_traits(group_traits(self._page, {name: nodes for name, nodes in members.items() if nodes}))

    def _put(self, there: list[str], nodes: Iterable[str], on: bool) -> list[str]:
        chosen = self._checked(nodes)
        return [*(n for n in there if n not in chosen), *(chosen if on else [])]

    def _checked(self, nodes: Iterable[str]) -> list[str]:
        """Names, each once; raises GraphError for what is no node."""
        chosen = [nodes] if isinstance(nodes, str) else list(dict.fromkeys(nodes))
        known = self._page.index()
        if unknown := [node for node in chosen if node not in known]:
            some = ", ".join(list(known)[1:4])
            raise GraphError(
                f"{unknown[0]!r} is no node of this circuit; nodes are named like {some or 'resid_post.2/7@5'}."
            )
        return chosen

    # requests from the browser

    def _on_group(self, name: str, nodes: list[str]) -> None:
        self.group(name, nodes)

    def _on_ungroup(self, name: str) -> None:
        self.group(name)
