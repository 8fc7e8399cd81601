"""Nodes of a circuit switched off or scaled: what the model predicts then after one prompt, and the metric over all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import polars as pl
import traitlets as t

from ..progress import Progress, silent
from .circuit_alone import refusal
from .circuit_question import checked_prompt
from .jobs import Job

if TYPE_CHECKING:
    from ..session.session import Session
    from .circuit_found import Found

SHOWN = 8
"""Tokens of the table, besides answers and foils."""

Wanted = tuple[dict[str, float], str]
"""Switches, and the prompt that is predicted after."""


class Switches:
    """The part of a circuit panel that changes the model's run."""

    if TYPE_CHECKING:
        session: Session
        frame: pl.DataFrame
        switches: dict[str, float]
        prompt: str
        prediction: dict[str, Any]
        mean_change: dict[str, Any]
        _found: Found | None
        _misfit: str
        _predicted: tuple[Wanted, pl.DataFrame] | None
        _changed: tuple[dict[str, float], pl.DataFrame] | None
        _beside: dict[str, Job]
        _lock: Any
        _checked: Callable[[list[str]], list[str]]
        _aside: Callable[..., Job]
        _publish: Callable[[Job, Callable[[], None]], None]
        set_traits: Callable[[dict[str, Any]], None]

        def _tell_watch(self, job: Job, state: str = "") -> None: ...

    def switch(self, node: str, scale: float = 0.0, *, prompt: str | None = None) -> pl.DataFrame:
        """Scale a node in the model's run: 0 is off, 1 as it is. Others that are switched stay so.

        Args:
            node: name of a node.
            scale: what its value is multiplied by.
            prompt: predict after this one from now on: `clean` or `corrupt` and its number from 0, as in "clean 3" or "corrupt 0".
                Default: the one that is chosen, at first "clean 0".

        Returns:
            The prediction after that prompt, before and after (see `frames.CIRCUIT_PREDICTION`). `changes` has all clean prompts.

        Raises:
            GraphError: no node of that name, what is measured, or no model beside the graph.
            TextError: no such prompt. TextError, DictionaryError: see `methods.circuit_prediction`.
        """
        _ = self.frame  # waits for one
        [name] = self._checked([node])
        rest = {each: factor for each, factor in self.switches.items() if each != name}
        wanted = rest | ({} if scale == 1 else {name: float(scale)}), self.prompt if prompt is None else prompt
        self._predicted = wanted, self._predict_after(*wanted)
        self.set_traits({"switches": wanted[0], "prompt": wanted[1]})
        return self._predicted[1]

    @property
    def predictions(self) -> pl.DataFrame:
        """What the model predicts after the chosen prompt, as it is and with the present switches (see
        `frames.CIRCUIT_PREDICTION`)."""
        _ = self.frame
        wanted = dict(self.switches), self.prompt
        if self._predicted is None or self._predicted[0] != wanted:
            self._predicted = wanted, self._predict_after(*wanted)
        return self._predicted[1]

    @property
    def changes(self) -> pl.DataFrame:
        """The metric of each clean prompt, as the model is and with the present switches (see `frames.CIRCUIT_CHANGE`). Waits for
        it, or computes it. `methods.change_summary` makes the mean of it that the panel shows."""
        _ = self.frame
        found, switches = self._with_model(), dict(self.switches)
        if "change" in self._beside:
            self._beside["change"].wait()
        if self._changed is None or self._changed[0] != switches:
            changes = self._change_of(found, switches)
            self._changed = switches, changes
            self._change_wanted(found)
        return self._changed[1]

    def cancel(self) -> None:
        """Stop what is running; the former result and what is done so far stay."""
        super().cancel()  # type: ignore[misc]
        self._on_stop()

    def _interrupt(self) -> None:
        super()._interrupt()  # type: ignore[misc]
        self._on_stop()

    def _with_model(self) -> Found:
        if self._found is None:
            raise refusal(self._misfit, "nothing can be switched")
        return self._found

    def _predict_after(self, switches: dict[str, float], prompt: str) -> pl.DataFrame:
        from ..methods import circuit_prediction

        found = self._with_model()
        side, row = checked_prompt(prompt, found.prompts)
        return circuit_prediction(
            self.session,
            text=found.prompts.ids(row, side),
            scales=switches,
            dictionaries=found.dictionaries,
            answer=found.prompts.answers[row],
            foil=found.prompts.foils[row] or None,
            top=SHOWN,
        )

    def _change_of(self, found: Found, switches: dict[str, float], progress: Progress = silent) -> pl.DataFrame:
        from ..methods.circuits.prediction import run_change

        return run_change(self.session, found.prompts, found.dictionaries, switches, progress=progress)

    def _prediction_wanted(self, change: t.Bunch | None = None) -> None:
        """Find out what the model predicts with the switches, and then what becomes of the metric over all prompts."""
        found, wanted = self._found, (dict(self.switches), self.prompt)
        if found is None:
            return
        if self._predicted is not None and self._predicted[0] == wanted:
            self._show_prediction(found, wanted, self._predicted[1])
        elif (self.prediction.get("of"), self.prediction.get("prompt")) != wanted or self.prediction["failed"]:
            self._predict_aside(found, wanted)
        self._change_wanted(found)

    def _predict_aside(self, found: Found, wanted: Wanted) -> None:
        self.prediction = {**self.prediction, "pending": True, "failed": ""}

        def work(job: Job) -> None:
            predicted = self._predict_after(*wanted)
            self._publish(job, lambda: self._show_prediction(found, wanted, predicted))

        def report(job: Job, status: dict[str, Any], error: str) -> None:
            if error and found is self._found and (self.switches, self.prompt) == wanted:
                of = {"of": wanted[0], "prompt": wanted[1]}
                self.prediction = {**of, "pending": False, "failed": error}
            self._tell(job, status)

        self._aside(work, "prediction", report)

    def _show_prediction(self, found: Found, wanted: Wanted, predicted: pl.DataFrame) -> None:
        if found is self._found and wanted == (self.switches, self.prompt):
            self._predicted = wanted, predicted
            self.prediction = prediction_trait(wanted, predicted)

    def _change_wanted(self, found: Found) -> None:
        """The mean over all clean prompts; with a single one the prediction says it."""
        switches = dict(self.switches)
        if not switches or found.prompts.count == 1:
            self._on_stop()
            self.mean_change = {}
        elif self._changed is not None and self._changed[0] == switches:
            self.mean_change = change_trait(switches, self._changed[1], found.prompts.count)
        elif self.mean_change.get("of") != switches:
            self._change_aside(found, switches)

    def _change_aside(self, found: Found, switches: dict[str, float]) -> None:
        nothing = {"of": switches, "total": found.prompts.count, "prompts": 0, "pending": True, "failed": ""}

        def work(job: Job) -> None:
            changes = self._change_of(found, switches, job)
            self._publish(job, lambda: self._show_change(found, switches, changes))

        def report(job: Job, status: dict[str, Any], error: str) -> None:
            with self._lock:
                partial, running = status.get("partial"), status["state"] == "running"
                if job is self._beside.get("change") and found is self._found and self.switches == switches:
                    if partial is not None:
                        self.mean_change = change_trait(switches, partial, found.prompts.count, pending=running)
                    elif not running:
                        self.mean_change = {**self.mean_change, "pending": False, "failed": error}
                self._tell(job, status)

        self.mean_change = nothing
        self._aside(work, "change", report)

    def _show_change(self, found: Found, switches: dict[str, float], changes: pl.DataFrame) -> None:
        if found is self._found and switches == self.switches:
            self._changed = switches, changes
            self.mean_change = change_trait(switches, changes, found.prompts.count)

    def _tell(self, job: Job, status: dict[str, Any]) -> None:
        """A recording hears of these jobs, so that it keeps what they show."""
        self._tell_watch(job, "" if status["state"] == "running" else status["state"])

    # requests from the browser

    def _on_stop(self) -> None:
        if "change" in self._beside:
            self._beside["change"].cancel()

    def _on_measure(self) -> None:
        self._change_aside(self._with_model(), dict(self.switches))


def prediction_trait(wanted: Wanted, predicted: pl.DataFrame) -> dict[str, Any]:
    """A prediction as the browser shows it; see `CircuitWidget.prediction`."""
    first = predicted.sort(pl.col("role") == "", maintain_order=True)
    top = first.select("token", "token_id", before="probability", after="changed_probability")
    before, after = predicted.select("metric", "changed_metric").row(0)
    return {
        "of": wanted[0],
        "prompt": wanted[1],
        "pending": False,
        "failed": "",
        "metric": {"before": before, "after": after, "change": after - before},
        "top": top.to_dicts(),
    }


def change_trait(
    switches: dict[str, float], changes: pl.DataFrame, total: int, *, pending: bool = False
) -> dict[str, Any]:
    """The mean change as the browser shows it; see `CircuitWidget.mean_change`."""
    from ..methods import change_summary

    row = change_summary(changes).row(0, named=True)
    means = {"before": row["metric"], "after": row["changed_metric"], "change": row["change"]}
    said = {"of": switches, "total": total, "prompts": row["prompts"], "pending": pending, "failed": ""}
    return {**said, **means, "low": row["low"], "high": row["high"]}
