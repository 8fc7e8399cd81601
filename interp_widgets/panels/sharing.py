"""How a result leaves the kernel: in a notebook's output, as a page, as a part of one, as a figure or a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class Shared:
    """What an instrument and a table of examples hand on alike. Their writers are imported when they are called."""

    @property
    def _title(self: Any) -> str:
        """What its page is called."""
        return f"{type(self).__name__}: {self.model_name}"

    def to_html(self: Any, path: str | Path) -> Path:
        """Write one file that shows this with no kernel and no network. Returns its path."""
        from ..export.html import to_html

        return to_html(path, self, title=self._title)

    def fragment(self: Any) -> str:
        """What `to_html` writes, without the page around it: to paste into a page of your own. See docs/embedding.md."""
        from ..export.html import fragment

        return fragment(self)

    def save(
        self: Any, path: str | Path, *, theme: str = "light", width: float | None = None, dpi: float = 300
    ) -> Path:
        """Write `chart` as a figure for print, or `frame` as a table: `.svg`, `.pdf`, `.png`, `.csv` or `.parquet`.

        The text of a figure stays text, of 7 to 9 points. A figure carries `provenance`, and so does Parquet; a CSV has none, and
        lists in it are JSON.

        Args:
            path: the file; one that is there is replaced, once the new one is whole.
            theme: "light" (on white) or "dark"; of a figure only.
            width: inches of the whole figure, 3 to 40; None for that of the chart in a notebook.
            dpi: dots an inch of a PNG.

        Returns:
            The path.

        Raises:
            SaveError: a suffix, folder, theme or size that cannot be.
            InterpError: there is no result; see `frame`.
        """
        from ..export.figure import save

        return save(self, path, theme=theme, width=width, dpi=dpi)

    def _ipython_display_(self: Any) -> None:
        """The output of a cell: live, and with a twin for when no kernel answers."""
        from ..export.output import display

        display(self)
