"""Circuits: which nodes and edges carry an answer, how much of it they carry, and what becomes of it without some of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import traitlets as t

from ..errors import InterpError, TextError
from ..graphs.graph import Graph
from ..graphs.page import NOTHING, page
from ..widgets.circuit import METHODS, CircuitWidget
from . import circuit_traits, recipe
from .circuit_alone import NoModel, plain, refusal
from .circuit_card import Cards
from .circuit_edit import Edits
from .circuit_found import BASELINES, Found
from .circuit_opened import misfit, question_of
from .circuit_question import Question, as_given
from .circuit_switch import Switches
from .circuit_work import Works
from .jobs import Job
from .panel import Panel

if TYPE_CHECKING:
    import altair as alt

    from ..methods.circuits.check import CircuitCheck
    from ..methods.circuits.dictionaries import Given
    from ..sae.corpus.reader import Corpus
    from ..session.session import Session


class Circuit(Edits, Cards, Switches, Works, Panel, CircuitWidget):
    """The circuit of a behaviour: its nodes, its edges, and what circuits of growing size carry.

    >>> circuit = iw.Circuit(model, "the keys to the cabinet", "the key to the cabinet", answer="are", foil="is")
    >>> circuit.frame                   # nodes; see iw.methods.circuit
    >>> circuit.edges                   # among the strongest of them
    >>> circuit.faithfulness            # of circuits of growing size
    >>> circuit.label("resid_post.2/122@5", "plural subject")
    >>> circuit.switch("resid_post.2/122@5", 0)     # the prediction without it
    >>> circuit.changes             # the metric of every clean prompt without it
    >>> iw.Circuit(iw.read_graph("graph.json"))     # of someone else's model, without it
    >>> iw.Circuit(model, graph=iw.read_graph("graph.json"))        # with its model: cards, switches, faithfulness
    """

    charts_more = True
    movable = False
    framed = ("switches", "prompt")

    def __init__(
        self,
        model: Session | Graph,
        clean: Any = "",
        corrupt: Any = "",
        answer: Any = "",
        foil: Any = "",
        *,
        graph: Graph | None = None,
        dictionaries: Given = None,
        method: str = "attribution",
        steps: int = 10,
        positions: str = "apart",
        edges: int | None = None,
        errors: Sequence[str] = ("nodes", "removed"),
        compare: Sequence[str] = (),
        corpora: Mapping[str, Corpus | str | Path] | None = None,
    ) -> None:
        """Start in the background; returns at once. A graph is shown as it is, and nothing is computed.

        Args:
            model: a session from `iw.load`; or a graph from `iw.read_graph`, and then nothing else.
            clean, corrupt, answer, foil, dictionaries, method, steps, positions: as in `iw.methods.circuit`.
            graph: a graph to open beside the model, from `iw.read_graph` or another panel; its nodes and edges are shown, no new
                ones. Nodes that are atoms or errors of the dictionaries have cards, can be switched, and their faithfulness is
                measured, on the prompts given or else those of the graph. Where none is, a note says so, and the graph is shown as
                without its model.
            edges: edges are computed among so many of the strongest nodes; default as many as reach a faithfulness of 0.9, from
                50 to 400.
            errors: how errors are treated on the curve (see `iw.methods.circuit_faithfulness`), one curve each; the first is shown.
            compare: "neurons" (of the MLP), "coordinates" or both: their curves are drawn, too.
            corpora: site -> where the atoms of its dictionary fire, for their cards: from `iw.corpus`, or the folder of one.
                Default: the examples that come with a bundled dictionary.

        Raises:
            DictionaryError, SiteError: dictionaries that do not fit the model.
            TextError: no such method or baseline.
        """
        self._found: Found | None = None
        self._graph: Graph | None = None
        self._page, self._predicted, self._changed, self._misfit = NOTHING, None, None, ""
        self._options: dict[str, Any] = {"steps": steps, "positions": positions}
        self._most, self._ways, self._compared, self._corpora = edges, list(errors), list(compare), dict(corpora or {})
        self._given, self._question = dictionaries, Question()
        if isinstance(model, Graph):
            stand: Any = NoModel(model.model)
            names = circuit_traits.dictionaries_words(model.dictionaries)
            super().__init__(stand, has_model=False, dictionaries=names, clean=model.prompt)
            self._open(model)
            return
        from ..methods.circuits.dictionaries import dictionaries_of

        _check(method, self._compared)
        self._dictionaries = dictionaries_of(model, dictionaries)
        self._question = Question(*map(as_given, (clean, corrupt, answer, foil)))
        if graph is not None:
            self._question = question_of(graph, self._question)
            self._made_of |= self._question.plain()
        super().__init__(
            model,
            **self._question.texts(model),
            methods=list(METHODS),
            method=method,
            dictionaries=circuit_traits.dictionaries_words(self._dictionaries),
        )
        if graph is not None:
            self._open(graph)
        if graph is not None and (why := misfit(graph, self._dictionaries, self._question)):
            self._show_alone(why)
        elif self._question.asked:
            self._start()

    @property
    def edges(self) -> pl.DataFrame:
        """Edges among the strongest nodes (see `frames.CIRCUIT_EDGES`); waits for them."""
        if self._graph is not None and self._job is not None:
            self._job.wait()
        found: pl.DataFrame = self._part("edges", "edges") if self._graph is None else self._bare.edges
        return found

    @property
    def faithfulness(self) -> pl.DataFrame:
        """What circuits of growing size carry (see `frames.CIRCUIT_FAITHFULNESS`); waits for it."""
        found: pl.DataFrame = self._part("faithfulness", "faithfulness")
        return found

    @property
    def check(self) -> CircuitCheck:
        """Exact effects of the strongest nodes beside the estimates; waits for it."""
        found: CircuitCheck = self._part("check", "exact effects")
        return found

    @property
    def compared(self) -> dict[str, pl.DataFrame]:
        """The faithfulness of neurons or coordinates, as far as circuits were compared with them; waits for it."""
        _ = self.frame
        return {} if self._found is None else dict(self._found.baselines)

    def compare(self, nodes: str = "neurons") -> pl.DataFrame:
        """Draw the curve of circuits without dictionaries: of the MLP's "neurons", or of "coordinates". Waits for it.

        Raises:
            TextError: something else is given.
        """
        self._on_compare(nodes)
        self._wait()
        return self.compared[nodes]

    def connect(self, nodes: int) -> pl.DataFrame:
        """Compute the edges among so many of the strongest nodes, and return them. Waits for them."""
        self._most = max(2, int(nodes))
        self._go_on()
        self._wait()
        return self.edges

    @property
    def chart(self) -> alt.LayerChart:
        """The nodes and edges that are shown, over tokens and sites."""
        from ..views.circuit import circuit_chart
        from .charts import offline

        graph = self.graph
        placed = page(graph, circuit_traits.NODES, circuit_traits.EDGES)
        shown = placed.shown(self.size, graph.pinned, graph.hidden, errors=self.way != "removed")
        edges = placed.edges.filter(pl.col("weight").abs() >= self.edge_threshold)
        rows = [str(row["text"]) for row in placed.rows]
        drawn = circuit_chart(shown, edges, rows, self.tokens, labels=graph.labels, metric=self.metric)
        return offline(drawn)

    @property
    def faithfulness_chart(self) -> alt.LayerChart:
        """The curve: faithfulness of circuits of growing size, beside those that it is compared with."""
        from ..views.circuit import faithfulness_chart
        from .charts import offline

        others = {BASELINES[name]: frame for name, frame in self.compared.items()}
        return offline(faithfulness_chart(self.faithfulness, others, error_nodes=self.way, metric=self.metric))

    @property
    def provenance(self) -> dict[str, Any]:
        """What the result rests on; of a graph without its model what its file says."""
        own: dict[str, Any] = {"metric": self.metric, "method": self.method}
        if self._graph is not None and self._found is None:
            return {
                **super().provenance,
                **own,
                "prompt": self._graph.prompt,
                "dictionaries": list(self._graph.dictionaries),
            }
        opened = (
            {} if self._graph is None else {"nodes": "of a graph that was opened", "graph_model": self._graph.model}
        )
        return {
            **super().provenance,
            **own,
            **opened,
            **self._options,
            **circuit_traits.rests_on(self._dictionaries, self._question),
        }

    def code(self) -> str:
        """A script that makes `frame`: nnsight alone for attribution, else this package called. With nodes switched it also makes
        `predictions` and `changes`."""
        from .circuit_code import OF_A_GRAPH, script, switched

        _ = self.frame
        if self._found is None:
            return OF_A_GRAPH
        made = OF_A_GRAPH if self._graph is not None else script(self.session, self._found, self._given)
        return made + switched(self.session, self._found, self._given, self.switches, self.prompt)

    def save(self, path: str | Path, *, theme: str = "light", width: float | None = None, dpi: float = 300) -> Path:
        """Write `chart` as a figure, `frame` as a table, or the graph: `.json` for circuit-tracer and Neuronpedia, `.pt` for the
        tensors of the paper's code. See `Instrument.save` and `Graph.save`.
        """
        if Path(path).suffix.lower() in (".json", ".pt"):
            return self.graph.save(path)
        return super().save(path, theme=theme, width=width, dpi=dpi)

    def _inputs(self) -> tuple[Any, ...]:
        return str(self._question), self.method, self._most, tuple(self._compared), id(self._graph)

    def _start(self) -> Job:
        if isinstance(self.session, NoModel):
            raise refusal("", "nothing can be computed")
        return super()._start()

    def _part(self, name: str, words: str) -> Any:
        """A part of the result, once the work is over."""
        _ = self.frame
        value = getattr(self._found, name, None)
        if value is None and self._misfit:
            raise refusal(self._misfit, "")
        if value is None:
            raise InterpError(self.error or f"The {words} of this circuit were not computed. Call .run().")
        return value

    def _wait(self) -> None:
        """For the work; raises what it raised."""
        if self._job is not None:
            self._job.wait()
            if self._job.error is not None:
                raise self._job.error

    def _to_keep(self) -> dict[str, Any]:
        """What is kept beside the traits: of a graph that was opened the graph, however large."""
        kept = super()._to_keep()
        if self._graph is None:
            return kept
        if "graph" in kept["arguments"]:
            kept["arguments"]["graph"] = recipe.plain(self._graph)
        return {**kept, "graph": plain(self.graph)} if self._found is None else kept

    # an observer must be in the class of the widget itself
    _show_cards = t.observe("selected", "pinned", "prompt")(Cards._cards_wanted)
    _predict = t.observe("switches", "prompt")(Switches._prediction_wanted)

    # requests from the browser

    def _on_run(self, clean: str, corrupt: str = "", answer: str = "", foil: str = "") -> None:
        fields = {"clean": clean, "corrupt": corrupt, "answer": answer, "foil": foil}
        self._question = self._question.typed(self.session, **fields)
        self._made_of |= {name: getattr(self._question, name) for name in fields}
        self.set_traits(fields)
        self._leave_graph()
        self._start()

    def _on_method(self, method: str) -> None:
        _check(method, [])
        self.method = method
        self._leave_graph()
        self._start()

    def _leave_graph(self) -> None:
        """What is asked now has nodes of its own."""
        if self._graph is not None and not isinstance(self.session, NoModel):
            self._graph, self._misfit, self.has_model = None, "", True
            self.method = self.method or METHODS[0]  # a file may not say it
            self._made_of.pop("graph", None)

    def _on_edges(self, nodes: int) -> None:
        self._most = max(2, int(nodes) - self._page.answers)
        self._go_on()

    def _on_compare(self, name: str = "neurons") -> None:
        _check(self.method, [name])
        self._compared = list(dict.fromkeys([*self._compared, name]))
        self._go_on()

    def _go_on(self) -> None:
        """What is not known yet of what is shown; without a result all of it."""
        found = self._found
        if found is None or not self.has_model:
            self._start()
        else:
            self._launch(lambda progress: self._fill(found, progress))


def _check(method: str, compared: Sequence[str]) -> None:
    if method not in METHODS:
        raise TextError(f"There is no method {method!r}; it is one of {', '.join(METHODS)}.")
    if unknown := [name for name in compared if name not in BASELINES]:
        raise TextError(f"Circuits are compared with {' or '.join(BASELINES)}, not with {unknown[0]!r}.")
