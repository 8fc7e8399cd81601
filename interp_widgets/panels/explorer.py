"""The explorer: the panels on one text with one selection. It computes nothing itself: every part is a panel."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import polars as pl
import traitlets as t

from ..errors import DictionaryError, InterpError
from ..widgets.explorer import VIEWS, ExplorerWidget
from .atoms import Atoms
from .attention import Attention
from .lens import Lens
from .panel import Instrument, positions_of
from .patching import Patching

if TYPE_CHECKING:
    import altair as alt

    from ..sae.dictionary import Dictionary
    from ..session.session import Session

Part: TypeAlias = Lens | Atoms | Attention | Patching

NO_DICTIONARY = (
    "There is no dictionary, so there are no atoms. Give one: iw.Explorer(model, text, sae=iw.load_sae(...))."
)
IDLE: dict[str, Any] = {"state": "idle", "message": "", "done": 0, "total": 0, "seconds": 0.0, "remote": None}


class Explorer(Instrument, ExplorerWidget):
    """Lens, Atoms, Attention and Patching on one text, with one selection.

    A part is computed when it is first shown. `frame`, `selection`, `chart`, `code` and `provenance` are those of the part that is
    shown (`view`); the parts themselves are `lens`, `atoms`, `attention` and `patching`, panels like any other.

    >>> explorer = iw.Explorer(model, "The Eiffel Tower is in the city of", sae=sae)
    >>> explorer.select(position=3)     # in every part
    >>> explorer.view = "atoms"         # as a press on its tab
    >>> explorer.frame                  # the frame of explorer.atoms
    """

    _classes: ClassVar[dict[str, Any]] = {"lens": Lens, "atoms": Atoms, "attention": Attention, "patching": Patching}
    lens: Lens
    atoms: Atoms | None
    attention: Attention
    patching: Patching

    def __init__(
        self,
        model: Session,
        text: str = "",
        *,
        sae: Dictionary | None = None,
        corrupt: str = "",
        answer: str | int = "",
        foil: str | int = "",
        view: str = "lens",
        beside: str = "",
    ) -> None:
        """Start on `text` in the background, with what is shown; returns at once.

        Args:
            model: a session from `iw.load`.
            text: the text, and the clean prompt of Patching; empty for none yet.
            sae: a dictionary that was trained on this model, from `iw.load_sae`; without one there are no atoms.
            corrupt, answer, foil: the rest of what Patching needs (see `iw.Patching`); a text as `answer` is that of Atoms, too.
            view: what is shown first: "lens", "atoms", "attention" or "patching".
            beside: what is shown beside it; empty for nothing.

        Raises:
            SiteError, DictionaryError: the dictionary does not fit the model.
        """
        self._set_up()
        made = self._classes
        super().__init__(
            model,
            lens=made["lens"](model),
            atoms=None
            if sae is None
            else made["atoms"](model, sae=sae, answer=answer if isinstance(answer, str) else ""),
            attention=made["attention"](model),
            patching=made["patching"](model, corrupt=corrupt, answer=answer, foil=foil),
            view=view,
            beside=beside,
        )
        self.sae_name = self.atoms.sae_name if self.atoms else ""
        self._link()
        if text:
            with self._showing_errors():
                self._read(text)
                self._open()

    def _set_up(self) -> None:
        self._started: set[str] = set()
        self._paired = True
        self._telling = threading.RLock()

    def _link(self) -> None:
        """Follow what the parts do."""
        for part in self.parts.values():
            prompt, results = ("clean", _PAIR) if isinstance(part, Patching) else ("text", ["token_ids"])
            part.observe(self._follow_text, prompt)
            part.observe(self._bring_selection, results)
            part.observe(self._follow_selection, "positions")
            part.observe(self._tell, ["status", "summary"])
            if part.has_trait("masked"):
                part.observe(self._mark_masked, ["masked", "token_ids"])

    @property
    def parts(self) -> dict[str, Part]:
        """The panels by name; without a dictionary there is no "atoms"."""
        return {name: part for name in VIEWS if (part := getattr(self, name)) is not None}

    @property
    def frame(self) -> pl.DataFrame:
        """The frame of the part that is shown; waits for it.

        Raises:
            InterpError: that part has no result on this text; says why.
        """
        return self._finished().frame

    @property
    def selection(self) -> pl.DataFrame:
        """The selected part of `frame`."""
        return self._finished().selection

    def select(self, position: int | tuple[int, int] | None = None, **more: Any) -> None:
        """Select a position of the text or a span `(first, last)` in every part; no argument clears the selection.

        With `more` (such as `layer=`) it is the `select` of the part that is shown, in its own terms, and the others follow.

        Raises:
            TextError, SiteError, DictionaryError: something that does not exist.
        """
        if more:
            self._finished().select(position, **more)
        else:
            self.positions = positions_of(position, len(self.tokens))

    @property
    def chart(self) -> alt.Chart:
        """The chart of the part that is shown."""
        return self._finished().chart

    def code(self) -> str:
        """An nnsight script that makes `frame`."""
        return self._finished().code()

    @property
    def provenance(self) -> dict[str, Any]:
        """The provenance of the part that is shown."""
        return self._finished().provenance

    def run(self) -> None:
        """Compute what is shown in the foreground, one part after the other; raises what a part raised. May be called again."""
        try:
            self._read(self.text)
        except InterpError as error:
            self.error = str(error)
            raise
        for name in self._shown:
            self._started.add(name)
            self._part(name).run()

    def cancel(self) -> None:
        """Stop every part, shown or not."""
        for part in self.parts.values():
            part.cancel()

    # what is shown

    @property
    def _shown(self) -> list[str]:
        return [name for name in dict.fromkeys((self.view, self.beside)) if name]

    def _part(self, name: str) -> Part:
        part: Part | None = getattr(self, name)
        if part is None:
            raise DictionaryError(NO_DICTIONARY)
        return part

    def _finished(self) -> Part:
        """The part that is shown, when it has finished on this text."""
        part = self._part(self.view)
        if part._job is not None:
            part._job.wait()
        if not self._is_current(part):
            why = self.error or part.error or "Give the explorer what it needs and call .run()."
            raise InterpError(f"{type(part).__name__} has no result on this text. {why}")
        return part

    def _is_current(self, part: Part) -> bool:
        """Whether the result of a part is of this text."""
        ids = part.clean_ids if isinstance(part, Patching) else part.token_ids
        return bool(self.token_ids) and ids == self.token_ids

    @t.observe("view", "beside")
    def _open(self, change: t.Bunch | None = None) -> None:
        """Start what is shown and has not been tried on this text; what is hidden waits until it is opened."""
        for name in self._shown:
            part = getattr(self, name)
            if part is None or name in self._started or self._is_current(part) or not self._may_start(part):
                continue
            self._start(name)
        self._tell()

    def _may_start(self, part: Part) -> bool:
        """Whether there is a text, and for Patching a corrupt prompt that was meant for it."""
        meant = not isinstance(part, Patching) or bool(part.corrupt and (self._paired or self._is_current(part)))
        return bool(self.tokens) and meant

    def _start(self, name: str) -> None:
        self._part(name)._begin()  # before it is noted: a part that was reopened may have to wake first
        self._started.add(name)

    def _tell(self, change: t.Bunch | None = None) -> None:
        """One status for all: the first part that works, what is shown before what is hidden; else the part that is shown."""
        with self._telling:  # two jobs may end at once
            parts = self.parts
            shown = parts.get(self.view)
            self.summary = shown.summary if shown is not None and self._is_current(shown) else ""
            order = [*(name for name in self._shown if name in parts), *parts]
            running = [name for name in order if parts[name].status["state"] == "running"]
            if running:
                status = parts[running[0]].status
                self.status = {
                    **status,
                    "message": f"{type(parts[running[0]]).__name__}: {status['message'] or 'running'}",
                }
            else:
                part = parts.get(self.view)
                known = part is not None and (self.view in self._started or self._is_current(part))
                self.status = dict(part.status) if part is not None and known else IDLE

    # one text

    def _read(self, text: str, source: Part | None = None) -> None:
        """Take a text; every part but the one that it comes from is told. Raises TextError for one that cannot be read."""
        tokens = self.session.tokens(text)
        ids, former = tokens["token_id"].to_list(), self.token_ids
        with self.hold_sync():
            self.error, self.text, self.tokens = "", text, tokens["token"].to_list()
            if ids != former:
                self.token_ids, self.positions, self.masked = ids, [], []
        others = [part for part in self.parts.values() if part is not source]
        if ids != former:
            self._paired = self._paired and not former
            self._started.clear()
            for part in others:
                part.cancel()
        for part in others:
            if isinstance(part, Patching):
                part.clean = text
            else:
                part.text = text
        self._spread_selection()  # a part may still have a result of this text, from earlier
        self._mark_masked()

    def _follow_text(self, change: t.Bunch) -> None:
        """A part was given another text by itself: it is the text of all."""
        if change.new == self.text:
            return
        try:
            self._read(change.new, change.owner)
        except InterpError:
            return  # the part says so itself when it runs
        self._started |= {name for name, part in self.parts.items() if part is change.owner}
        self._open()

    def _mark_masked(self, change: t.Bunch | None = None) -> None:
        for part in (self.lens, self.atoms):
            if part is not None and self._is_current(part):
                self.masked = part.masked
                return

    # one selection

    @t.observe("positions")
    def _spread_selection(self, change: t.Bunch | None = None) -> None:
        for part in self.parts.values():
            self._give_selection(part)

    def _bring_selection(self, change: t.Bunch) -> None:
        """A result has arrived: what is selected in the text is selected in it."""
        self._give_selection(change.owner)

    def _give_selection(self, part: Part) -> None:
        if self._is_current(part) and not self._agrees(part):
            part.positions = _to_part(part, self.positions)

    def _follow_selection(self, change: t.Bunch) -> None:
        if self._is_current(change.owner) and not self._agrees(change.owner):
            self.positions = _to_text(change.owner, change.new)

    def _agrees(self, part: Part) -> bool:
        """Whether the selections say the same, as far as tokens have partners: so nothing goes to and fro."""
        positions = part.positions
        return positions == _to_part(part, self.positions) or _to_text(part, positions) == self.positions

    # requests from the browser

    def _on_run(self, text: str) -> None:
        self._read(text)
        for name in self._shown:
            part = getattr(self, name)
            if part is not None and self._may_start(part):
                self._start(name)
        self._tell()


_PAIR = ["clean_ids", "alignment", "direction"]
"""What decides which token of the text a position of Patching is."""


def _pairs(part: Part) -> list[list[int]] | None:
    """Pairs `[position of the text, position of the part]`; None where they are the same."""
    return part.alignment if isinstance(part, Patching) and part.direction == "denoise" else None


def _to_part(part: Part, positions: list[int]) -> list[int]:
    """Positions of the text as the part counts them; tokens without a partner are left out."""
    pairs = _pairs(part)
    return positions if pairs is None else [theirs for ours, theirs in pairs if ours in positions]


def _to_text(part: Part, positions: list[int]) -> list[int]:
    """Positions of the part as the text counts them."""
    pairs = _pairs(part)
    return positions if pairs is None else [ours for ours, theirs in pairs if theirs in positions]
