"""Examples: a table of where atoms fire, with no model and no corpus beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import traitlets as t

from ..errors import DictionaryError
from ..widgets.examples import ExamplesWidget
from . import summaries
from .atoms_examples import examples
from .sharing import Shared

if TYPE_CHECKING:
    import altair as alt

STORED = 32
"""Atoms of a table from which on their examples are sent when they are asked for; an exported page has those seen."""


class Examples(Shared, ExamplesWidget):
    """Where atoms fire, in context: any table of examples, as the card of `iw.Atoms` shows them.

    >>> iw.Examples(corpus.examples_frame([1213, 12]))
    >>> iw.Examples(iw.read_examples("examples.parquet"))
    >>> iw.Examples(iw.read_neuronpedia("feature.json").examples, name="gpt2-small/8-res-jb")
    """

    def __init__(self, frame: pl.DataFrame, *, atom: int | None = None, name: str = "") -> None:
        """Show a table.

        Args:
            frame: see `frames.ATOM_EXAMPLES`; of any number of atoms.
            atom: which is shown first; default the first of the table.
            name: said in the head line, such as the name of the dictionary.

        Raises:
            FrameError: the table has other columns, or rows that do not fit together.
            DictionaryError: the table has no such atom.
        """
        from ..sae.corpus.tables import check_examples

        self.frame = check_examples(frame)
        """The table."""
        atoms = frame["atom"].unique(maintain_order=True).to_list()
        super().__init__(model_name=name, atoms=atoms)
        if len(atoms) <= STORED:
            self.stored = {str(each): self._of(each) for each in atoms}
        if atom is not None or atoms:
            self.select(atoms[0] if atom is None else atom)

    @property
    def selection(self) -> pl.DataFrame:
        """The rows of the atom shown."""
        return self.frame.filter(atom=self.atom)

    def select(self, atom: int) -> None:
        """Show another atom.

        Raises:
            DictionaryError: the table has no such atom.
        """
        if atom not in self.atoms:
            shown = ", ".join(map(str, self.atoms[:8])) + (" and more" if len(self.atoms) > 8 else "")
            raise DictionaryError(f"This table has no examples of atom {atom}; it has those of {shown or 'none'}.")
        self.atom = atom

    @property
    def _title(self) -> str:
        return " ".join(["Examples", self.model_name]).strip()

    @property
    def chart(self) -> alt.Chart:
        """The activations of the examples shown, list by list."""
        from ..views.examples import examples_chart
        from .charts import offline

        return offline(examples_chart(self.selection))

    def _to_keep(self) -> dict[str, Any]:
        """What is kept of this table beside its traits (see `iw.reopen`)."""
        from .. import __version__
        from .kept import pack_frame

        return {"class": "Examples", "version": __version__, "frame": pack_frame(self.frame)}

    @t.observe("atom")
    def _show(self, _: Any) -> None:
        if self.atom in self.atoms and str(self.atom) not in self.stored:
            self.stored = {**self.stored, str(self.atom): self._of(self.atom)}
        self.summary = summaries.examples(self.model_name, self.atom, self.selection)

    def _of(self, atom: int) -> dict[str, Any]:
        found = self.frame.filter(atom=atom)
        most = pl.concat([found["activation"], found["activations"].explode()]).max()
        return examples(found, most if most and most > 0 else 1.0)  # type: ignore[arg-type,operator]
