"""How a circuit is computed stage by stage, and shown as it grows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import polars as pl

from ..errors import GraphError, TextError
from ..graphs.graph import Graph
from ..graphs.page import Page, at_least, enough, page
from . import circuit_traits, summaries
from .circuit_found import BASELINES, Found, Stage
from .circuit_notes import notes
from .circuit_opened import edged, fitting, method_of, remarks
from .circuit_question import FIRST
from .jobs import Job

if TYPE_CHECKING:
    from ..methods.circuits.dictionaries import Dictionaries
    from ..methods.circuits.prompts import Prompts
    from ..methods.circuits.run import CircuitRun
    from ..session.session import Session
    from .circuit_question import Question

FEWEST, MOST = 50, 400
"""Nodes that are drawn at first, and among which edges are computed: as many as carry most of what is measured, from so many to so
many."""
DRAWN = 300
"""Edges that are drawn at first."""
CHECKED = 20
"""Strongest nodes whose effects are computed exactly, too."""


class Works:
    """The part of a circuit panel that computes and shows."""

    if TYPE_CHECKING:
        session: Session
        frame: pl.DataFrame
        method: str
        metric: str
        summed: bool
        way: str
        ways: list[str]
        groups: list[dict[str, Any]]
        selected: list[str]
        positions: list[int]
        cards: dict[str, Any]
        prediction: dict[str, Any]
        prompt: str
        prompt_texts: dict[str, str]
        mean_change: dict[str, Any]
        _predicted: Any
        _changed: Any
        hold_sync: Callable[[], Any]
        set_traits: Callable[[dict[str, Any]], None]
        _found: Found | None
        _graph: Graph | None
        _misfit: str
        _page: Page
        _frame: pl.DataFrame | None
        _question: Question
        _options: dict[str, Any]
        _dictionaries: Dictionaries
        _most: int | None
        size: int
        edge_threshold: float
        _compared: list[str]
        _ways: list[str]
        _edited: Callable[[Graph], Graph]
        _publish: Callable[[Job, Callable[[], None]], None]
        _regroup: Callable[[dict[str, list[str]]], None]
        _show_cards: Callable[[], None]
        _predict: Callable[[], None]

    def _compute(self, progress: Job) -> None:
        from ..methods.circuits.nodes import check_choices, run_circuit
        from ..methods.circuits.prompts import prompts_of

        question, method, options = self._question, self.method, self._options
        if not question.asked:
            raise TextError("There are no prompts. Type a clean one, and a corrupt one of as many tokens.")
        check_choices(method, **options)
        progress(0, 0, "reading the prompts")
        prompts = prompts_of(self.session, **question.arguments())
        if self._graph is not None:
            return self._measure_graph(self._graph, prompts, progress)

        def known(run: CircuitRun, most: int | None = circuit_traits.NODES) -> Found:
            return Found(question, method, options, self._dictionaries, prompts, run.frame(most), run)

        members = self._members()  # of which nodes shown meanwhile may lack some
        stage = Stage(progress, "nodes", lambda run: self._draw(known(run)) if run.found else None)
        run = run_circuit(self.session, prompts, self._dictionaries, method=method, **options, progress=stage)
        found = known(run, None)
        self._publish(progress, lambda: self._show(found, members))
        self._fill(found, progress)

    def _members(self) -> dict[str, list[str]]:
        """Name of a group -> its nodes."""
        return {each["name"]: each["nodes"] for each in self.groups}

    def _measure_graph(self, graph: Graph, prompts: Prompts, progress: Job) -> None:
        """What can be measured of a graph that was opened, in the place of finding its nodes."""
        tokens = circuit_traits.tokens_of(self.session, prompts, not graph.tokens)
        try:
            nodes = fitting(graph, self._dictionaries, prompts, tokens)
        except GraphError as error:
            misfit = str(error)
            return self._publish(progress, lambda: self._show_alone(misfit))
        options = {**self._options, "positions": "apart" if graph.tokens else "summed"}
        metric = circuit_traits.metric_words(self.session, prompts)
        said = remarks(graph, nodes, self.session, self._question, metric)
        found = Found(self._question, method_of(graph), options, self._dictionaries, prompts, nodes, None, graph.edges,
                      edged(nodes, graph.edges), remarks=said)  # fmt: skip
        self._publish(progress, lambda: self._show(found))
        self._fill(found, progress)

    def _fill(self, found: Found, progress: Job) -> None:
        """What is not known yet: the curve, the edges, how good the estimates are, the curves to compare with. Each is shown when
        it is there."""
        if found.nodes.is_empty():
            return
        if not found.curves:
            self._add_curve(found, "nodes", progress)
        most = self._most or found.edged or enough(found.curves["nodes"], FEWEST, MOST)
        if found.edged != min(most, found.nodes.height):
            self._add_edges(found, min(most, found.nodes.height), progress)
        if found.check is None and found.method != "exact":
            self._add_check(found, progress)
        for way in self._ways:
            if way not in found.curves:
                self._add_curve(found, way, progress)
        for name in self._compared:
            if name not in found.baselines:
                self._add_baseline(found, name, progress)

    def _add_curve(self, found: Found, errors: str, progress: Job) -> None:
        from ..methods import circuit_faithfulness

        def so_far(frame: pl.DataFrame) -> None:
            if found is self._found and frame.height:
                self._show_curve(replace(found, curves={**found.curves, errors: frame}))

        words = "faithfulness" if errors == "nodes" else f"faithfulness with errors {errors}"
        stage = Stage(progress, words, so_far)
        found.curves[errors] = circuit_faithfulness(
            self.session, **found.arguments(), nodes=found.nodes, errors=errors, progress=stage
        )
        self._publish(progress, lambda: self._show_curve(found, new=errors == "nodes"))

    def _add_edges(self, found: Found, most: int, progress: Job) -> None:
        from ..methods.circuits.edges import run_edges

        found.edges = run_edges(
            self.session, found.prompts, found.dictionaries, found.nodes.head(most), Stage(progress, "edges")
        )
        found.edged = most
        self._publish(progress, lambda: self._show_edges(found))

    def _add_check(self, found: Found, progress: Job) -> None:
        from ..methods.circuits.check import run_check

        stage = Stage(progress, "exact effects of the strongest")
        found.check = run_check(
            self.session, found.prompts, found.dictionaries, found.nodes, top=CHECKED, progress=stage
        )
        self._publish(progress, self._say)

    def _add_baseline(self, found: Found, name: str, progress: Job) -> None:
        from ..methods import circuit, circuit_faithfulness

        stage, arguments = Stage(progress, f"compared with {BASELINES[name]}"), found.arguments(name)
        nodes = circuit(self.session, **arguments, positions=found.options["positions"], progress=stage)
        found.baselines[name] = circuit_faithfulness(self.session, **arguments, nodes=nodes, progress=stage)
        self._publish(progress, lambda: self._show_curve(found))

    def _show_partial(self, partial: tuple[Callable[[Any], None], Any]) -> None:
        show, known = partial
        with self.hold_sync():
            show(known)

    def _forget(self) -> None:
        self._found = None

    def _show(self, found: Found, members: dict[str, list[str]] | None = None) -> None:
        """`members`: of groups that were there before the work began."""
        former, self._found = self._found, found
        self._frame = found.nodes if self._graph is None else self._graph.nodes
        names = set(self._frame["node"])
        if former is None or not former.question.same_prompts(found.question):
            self.positions, self.cards = [], {}
        self.selected = [node for node in self.selected if node in names]
        self.size, self.edge_threshold = MOST, 0.0 if found.edges is None else at_least(found.edges, DRAWN)
        self.prediction, self.mean_change, self._predicted, self._changed = {}, {}, None, None
        self.prompt_texts = found.question.listed(self.session)
        self.prompt = self.prompt if self.prompt in self.prompt_texts else FIRST
        self._draw(found, members)
        self.set_traits(circuit_traits.prompt_traits(self.session, found.prompts, self.summed))
        self.set_traits(circuit_traits.no_curve())
        self._say()
        self._show_cards()
        self._predict()

    def _draw(self, found: Found, members: dict[str, list[str]] | None = None) -> None:
        """Nodes and edges; and what a person has made of them."""
        bare = self._bare_of(found)
        self._page = page(self._edited(bare), circuit_traits.NODES, circuit_traits.EDGES)
        self.set_traits({**circuit_traits.page_traits(self._page, bare),
                         "metric": circuit_traits.metric_words(self.session, found.prompts),
                         "edged": found.edged and found.edged + self._page.answers})  # fmt: skip
        self._regroup({**self._members(), **(members or {})})

    def _show_curve(self, found: Found, new: bool = False) -> None:
        assert found.faithfulness is not None
        baselines = [circuit_traits.baseline_traits(BASELINES[name], each) for name, each in found.baselines.items()]
        self.set_traits(
            circuit_traits.curve_traits(found.faithfulness, self._page, found.nodes) | {"baselines": baselines}
        )
        self.way = self.way if self.way in self.ways else self.ways[0]
        if new and self.size == MOST:  # nobody has moved it yet
            self.size = enough(found.curves["nodes"], FEWEST, MOST)
        self._say()

    def _show_edges(self, found: Found) -> None:
        self._draw(found)
        assert found.edges is not None
        self.edge_threshold = at_least(found.edges, DRAWN)
        self._say()

    def _say(self) -> None:
        """The result in one sentence, and what belongs beside it."""
        found = self._found
        if found is not None:
            self.notes = notes(self.session, found)
            self.summary = summaries.circuit(found.nodes, found.faithfulness, self.metric)

    @property
    def _bare(self) -> Graph:
        """The graph as it was computed or opened."""
        if self._graph is not None and self._found is None:
            return self._graph
        _ = self.frame
        assert self._found is not None
        return self._bare_of(self._found)

    def _bare_of(self, found: Found) -> Graph:
        if self._graph is not None:
            edges = self._graph.edges if found.edges is None else found.edges
            return self._graph if edges is self._graph.edges else replace(self._graph, edges=edges)
        assert found.run is not None
        summed = found.options["positions"] == "summed"
        return Graph.of(
            found.nodes,
            found.edges,
            tokens=circuit_traits.tokens_of(self.session, found.prompts, summed),
            prompt=found.question.texts(self.session)["clean"].partition("\n")[0],
            model=self.session.name,
            dictionaries=tuple(found.dictionaries),
            sizes={site: tally.width for site, tally in found.run.found.items()},
            metric=circuit_traits.metric_words(self.session, found.prompts),
            asked=found.question.plain(),
        )

    def _show_alone(self, misfit: str) -> None:
        """A graph whose nodes are not those of the model beside it stays as it is."""
        assert self._graph is not None
        self._misfit = misfit
        self.set_traits({"has_model": False, "notes": [misfit, *self._graph.notes]})

    def _open(self, graph: Graph) -> None:
        """Show a graph, before anything is known of it but what it says."""
        self._graph, self._frame = graph, graph.nodes
        self._page = page(graph, circuit_traits.NODES, circuit_traits.EDGES)
        self.set_traits(
            {
                **circuit_traits.page_traits(self._page, graph),
                **circuit_traits.group_traits(self._page, graph.groups),
                "labels": dict(graph.labels),
                "pinned": list(graph.pinned),
                "hidden": list(graph.hidden),
                "metric": graph.metric,
                "method": method_of(graph),
                "edged": self._page.nodes.height,
                "edge_threshold": at_least(graph.edges, DRAWN),
                "notes": list(graph.notes),
                "summary": summaries.graph(graph.nodes, graph.edges, graph.prompt),
            }
        )
