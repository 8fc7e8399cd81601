"""Nodes of a circuit switched off or scaled, and what the model predicts then."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import polars as pl
import traitlets as t

from ..errors import GraphError
from .jobs import Job
from .wording import counted

if TYPE_CHECKING:
    from ..session.session import Session
    from .circuit_found import Found

SHOWN = 8
"""Tokens of the table, besides answers and foils."""


class Switches:
    """The part of a circuit panel that changes the model's run."""

    if TYPE_CHECKING:
        session: Session
        frame: pl.DataFrame
        has_model: bool
        switches: dict[str, float]
        prediction: dict[str, Any]
        metric: str
        names: list[str]
        _found: Found | None
        _predicted: Any
        _checked: Callable[[list[str]], list[str]]
        _aside: Callable[..., Job]
        _publish: Callable[[Job, Callable[[], None]], None]

    def switch(self, node: str, scale: float = 0.0) -> pl.DataFrame:
        """Scale a node in the model's run: 0 is off, 1 as it is. Others that are switched stay so.

        Returns:
            The prediction after the first clean prompt, before and after (see `frames.CIRCUIT_PREDICTION`).

        Raises:
            GraphError: no node of that name, what is measured, or no model beside the graph.
            TextError, DictionaryError: see `methods.circuit_prediction`.
        """
        _ = self.frame  # waits for one
        [name] = self._checked([node])
        rest = {each: factor for each, factor in self.switches.items() if each != name}
        switches = rest | ({} if scale == 1 else {name: float(scale)})
        self._predicted = switches, self._measure(switches)
        self.switches = switches
        return self._predicted[1]

    @property
    def predictions(self) -> pl.DataFrame:
        """What the model predicts after the first clean prompt, as it is and with the present switches (see
        `frames.CIRCUIT_PREDICTION`)."""
        _ = self.frame
        if self._predicted is None or self._predicted[0] != self.switches:
            self._predicted = (dict(self.switches), self._measure(dict(self.switches)))
        return self._predicted[1]

    def _measure(self, switches: dict[str, float]) -> pl.DataFrame:
        from ..methods import circuit_prediction

        found = self._found
        if found is None:
            raise GraphError("This graph is shown without its model, so nothing can be switched.")
        batch = found.prompts.batches[0]
        row, ids = int(batch.rows[0]), batch.clean[0].tolist()
        return circuit_prediction(
            self.session,
            text=ids,
            scales=switches,
            dictionaries=found.dictionaries,
            answer=found.prompts.answers[row],
            foil=found.prompts.foils[row] or None,
            top=SHOWN,
        )

    def _prediction_wanted(self, change: t.Bunch | None = None) -> None:
        """Find out what the model predicts with the switches."""
        found, switches = self._found, dict(self.switches)
        if found is None or self.prediction.get("of") == switches:
            return
        if self._predicted is not None and self._predicted[0] == switches:
            self._show_prediction(found, switches, self._predicted[1])
            return
        self.prediction = {**self.prediction, "pending": True, "failed": ""}

        def work(job: Job) -> None:
            predicted = self._measure(switches)
            self._publish(job, lambda: self._show_prediction(found, switches, predicted))

        def report(job: Job, status: dict[str, Any], error: str) -> None:
            if error and found is self._found and self.switches == switches:
                self.prediction = {"of": switches, "pending": False, "failed": error}

        self._aside(work, "prediction", report)

    def _show_prediction(self, found: Found, switches: dict[str, float], predicted: pl.DataFrame) -> None:
        if found is self._found and switches == self.switches:
            self._predicted = switches, predicted
            self.prediction = prediction_trait(found, switches, predicted, self.metric)


def prediction_trait(found: Found, switches: dict[str, float], predicted: pl.DataFrame, metric: str) -> dict[str, Any]:
    """A prediction as the browser shows it; see `CircuitWidget.prediction`."""
    first = predicted.sort(pl.col("role") == "", maintain_order=True)
    top = first.select("token", "token_id", before="probability", after="changed_probability")
    before, after = predicted.select("metric", "changed_metric").row(0)
    several = found.prompts.count > 1
    return {
        "of": switches,
        "pending": False,
        "failed": "",
        "about": f"After the first of {counted(found.prompts.count, 'clean prompt')}." if several else "",
        "metric": {"name": metric, "before": before, "after": after, "change": after - before, "low": None, "high": None,
                   "estimate": None},
        "top": top.to_dicts(),
    }  # fmt: skip
