"""Steering: a direction put into a prompt, and what the model says then, strength by strength."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import polars as pl
import traitlets as t

from ..errors import TextError
from ..widgets.steering import SteeringWidget
from . import summaries
from .jobs import Job
from .panel import Panel
from .steering_traits import run_traits, start_strength

if TYPE_CHECKING:
    import altair as alt

    from ..methods.steering_run import SteeringRun
    from ..session.session import Session


class Steering(Panel, SteeringWidget):
    """Baseline and steered text side by side, and a dose-response curve beside random directions of the same length.

    >>> panel = iw.Steering(model, "I went to", direction=(sae, 1213))
    >>> panel.frame                     # see iw.methods.steer
    >>> panel.texts               # what every run says
    >>> panel.select(strength=60)
    """

    def __init__(
        self,
        model: Session,
        prompt: str = "",
        *,
        direction: Any,
        site: str | None = None,
        layers: Sequence[int] | None = None,
        mode: str = "add",
        strengths: float | Sequence[float] | None = None,
        positions: Sequence[int] | None = None,
        generated: bool = True,
        tokens: int = 30,
        answer: str = "",
        foil: str = "",
        metric: str = "logit_difference",
        temperature: float = 0.0,
        randoms: int = 3,
        seed: int = 0,
    ) -> None:
        """Start on `prompt` in the background; returns at once.

        Args:
            model: a session from `iw.load`.
            prompt: the text; empty for none yet.
            direction, site, layers, mode, strengths, generated, tokens, answer, foil, temperature, randoms, seed: as in
                `iw.methods.steer`.
            positions: positions of the prompt, from 0; None for all but masked ones, an empty list for new tokens only.
            metric: what the curve shows first: "logit_difference", "probability", "kl" or "fluency".

        Raises:
            SiteError, DictionaryError: a direction or site that does not exist.
        """
        from ..methods.directions import direction_of
        from ..methods.steering import sites_of

        self._direction = direction_of(direction)
        self._options: dict[str, Any] = {"tokens": tokens, "temperature": temperature, "randoms": randoms, "seed": seed}
        self._strengths = strengths
        self._run: SteeringRun | None = None
        self._shown_with: tuple[Any, ...] | None = None
        dictionary, atom = self._direction.dictionary, self._direction.atom
        place = site or self._direction.site or ""
        sites = sites_of(model, place, layers)
        super().__init__(
            model,
            text=prompt,
            site=place if layers is None else "+".join(map(str, sites)),
            answer=answer,
            foil=foil,
            mode=mode,
            where="new" if positions is not None and not positions else "all" if generated else "prompt",
            positions=sorted(positions or []),
            atom=-1 if atom is None else atom,
            atoms=0 if dictionary is None else dictionary.width,
            metric=metric,
        )
        if prompt:
            self._start()

    @property
    def texts(self) -> pl.DataFrame:
        """What every run says, token by token (see `frames.STEERED_TEXT`)."""
        from ..methods.steering_run import text_frame

        return text_frame(self.session, self._finished_run())

    @property
    def selection(self) -> pl.DataFrame:
        """Rows of `frame` at the selected strength: the given direction and the random ones."""
        return self.frame.filter(pl.col("direction") != "baseline", pl.col("strength") == self.strength)

    def select(self, strength: float) -> None:
        """Show the texts of a strength; one that was not run yet is run.

        Raises:
            TextError: no finite number.
        """
        self._finished_run()
        self._on_strength(strength)
        if self._job is not None:
            self._job.wait()
            if self._job.error is not None and self.strength != strength:
                raise self._job.error

    @property
    def chart(self) -> alt.Chart:
        """The metric shown over strengths, beside the range of the random directions."""
        from ..views.steering import steering_chart
        from .charts import offline

        return offline(steering_chart(self.frame, metric=self.metric, answer=self.answer, foil=self.foil))

    @property
    def provenance(self) -> dict[str, Any]:
        run, direction = self._run, self._direction if self._run is None else self._run.change.direction
        return {
            **super().provenance,
            "seed": self._options["seed"],
            "random_seeds": [] if run is None else run.seeds,
            "direction": {"name": direction.name, "site": direction.site, "norm": direction.norm, **direction.origin},
            "sae_origin": dict(direction.dictionary.origin) if direction.dictionary is not None else None,
            "mode": self.mode if run is None else run.change.mode,
            "site": self.site if run is None else "+".join(map(str, run.change.sites)),
            "checks": self.checks,
        }

    def code(self) -> str:
        """An nnsight script that makes `frame`."""
        from ..session import scripts

        return scripts.steering(self.session, self._finished_run())

    # work

    def _inputs(self) -> tuple[Any, ...]:
        return self.text, self.site, self.answer, self.foil, self.mode, self.where, tuple(self.positions), self.atom

    def _compute(self, progress: Job) -> None:
        from ..methods.steering import prepare_steering

        inputs = self._inputs()
        progress(0, 0, "reading the prompt")
        run = prepare_steering(
            self.session,
            self.text,
            direction=self._direction,
            site=self.site,
            mode=self.mode,
            strengths=self._strengths,
            positions=[] if self.where == "new" else self.positions or None,
            generated=self.where != "prompt",
            answer=self.answer,
            foil=self.foil,
            **self._options,
        )
        self._fill(run, inputs, progress)

    def _fill(
        self, run: SteeringRun, inputs: tuple[Any, ...] | None, progress: Job, strength: float | None = None
    ) -> None:
        from ..methods.steering import fill_steering

        def report(done: int, total: int, message: str = "", partial: Any = None) -> None:
            if partial is not None and partial.outcomes.keys() - shown.keys():
                shown.update(partial.outcomes)
                self._publish(progress, lambda: self._show(partial, inputs, strength))
            progress(done, total, message)

        shown: dict[Any, Any] = dict(run.outcomes)
        fill_steering(self.session, run, progress=report)
        self._publish(progress, lambda: self._show(run, inputs, strength))

    def _show(self, run: SteeringRun, inputs: tuple[Any, ...] | None, strength: float | None) -> None:
        from ..methods.steering_run import steering_frame

        self._run, self._frame = run, steering_frame(run)
        self._shown_with = inputs or self._shown_with
        if strength is None and (self.strengths != run.strengths or self.strength not in run.strengths):
            strength = start_strength(run)
        self.set_traits(run_traits(self.session, run))
        if strength is not None:
            self.strength = strength
        self._summarise()
        self._mark_stale()

    def _finished_run(self) -> SteeringRun:
        _ = self.frame  # waits, and raises if there is none
        if self._run is None:
            raise TextError("There is no result yet.")
        return self._run

    @t.observe("strength")
    def _summarise(self, change: t.Bunch | None = None) -> None:
        run = vars(self).get("_run")  # one that is asleep has none, and its sentence names the strength that it is of
        if run is not None:
            self.summary = summaries.steering(run, self.strength, self.session.text_of)

    @t.observe("mode", "where", "positions")
    def _mark_stale(self, change: t.Bunch | None = None) -> None:
        if self._shown_with is not None:
            self.stale = self._inputs() != self._shown_with

    @t.observe("atom")
    def _on_atom(self, change: t.Bunch) -> None:
        from ..methods.directions import atom_direction

        dictionary = self._direction.dictionary
        if dictionary is None or change.new == self._direction.atom:
            return
        with self._showing_errors():
            self._direction = atom_direction(dictionary, change.new)
            self._mark_stale()
        if self.error:
            self.atom = change.old

    # requests from the browser

    def _on_run(self, **asked: str) -> None:
        if asked.get("text", self.text) != self.text:
            self.positions = []  # those were positions of another text
        for name in ("text", "site", "answer", "foil"):
            setattr(self, name, asked.get(name, getattr(self, name)))
        self._start()

    def _on_strength(self, value: float) -> None:
        run = self._run
        if run is None or not math.isfinite(value):
            raise TextError("A strength is a finite number, for a prompt that was run.")
        if value in run.strengths:
            self.strength = value
            return
        more = replace(run, strengths=sorted([*run.strengths, float(value)]), outcomes=dict(run.outcomes))
        self._launch(lambda progress: self._fill(more, None, progress, value))
