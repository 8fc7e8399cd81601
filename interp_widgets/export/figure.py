"""One panel as a figure for a paper, or its numbers as a table.

A figure is the panel's `.chart`, drawn by vl-convert: no browser, no network. What it rests on goes into the file with it
(`export/carried.py`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from ..errors import SaveError
from ..views import publication
from ..widgets.chart import VEGA_LITE
from ..writing import replacing
from .carried import Carried, carried, in_pdf, in_png, in_svg, size

if TYPE_CHECKING:
    from ..panels.examples import Examples
    from ..panels.panel import Instrument


def save(
    panel: Instrument | Examples,
    path: str | Path,
    *,
    theme: str = "light",
    width: float | None = None,
    dpi: float = 300,
) -> Path:
    """Write what a panel shows as a figure, or its frame as a table; the suffix of `path` decides. See `Instrument.save`."""
    path = Path(path)
    tables: dict[str, Callable[[pl.DataFrame, Carried], bytes]] = {".csv": _csv, ".parquet": _parquet}
    pictures: dict[str, Callable[[str, Carried], bytes]] = {
        ".svg": lambda svg, said: in_svg(svg, width, said).encode(),
        ".pdf": lambda svg, said: in_pdf(_pdf(in_svg(svg, width)), said),
        ".png": lambda svg, said: in_png(_png(in_svg(svg, width), dpi), said),
    }
    kind = path.suffix.lower()
    _check(path, kind, [*pictures, *tables], theme, width, dpi)
    if kind in tables:
        content = tables[kind](panel.frame, carried(panel))
    else:
        content = pictures[kind](_drawn(panel.chart.to_dict(), theme, width), carried(panel))
    _replace(path, content)
    return path


def _check(path: Path, kind: str, kinds: list[str], theme: str, width: float | None, dpi: float) -> None:
    """Raises SaveError before anything is computed."""
    if kind not in kinds:
        given = f"ends in {path.suffix!r}" if path.suffix else "has no suffix"
        raise SaveError(
            f"{path.name!r} {given}, so it is not known what to write. End it in {', '.join(kinds)}, or use "
            ".to_html(path) for a page."
        )
    if not path.parent.is_dir():
        raise SaveError(f"There is no folder {str(path.parent)!r} to write {path.name!r} to. Make it first.")
    if path.is_dir():
        raise SaveError(f"{str(path)!r} is a folder. Give the name of a file.")
    if theme not in publication.THEMES:
        raise SaveError(f"There is no theme {theme!r}; a figure is 'light' or 'dark'.")
    if width is not None and not 3 <= width <= 40:
        raise SaveError(f"A figure {width:g} inches wide cannot be drawn. Give a width from 3 to 40 inches, or None.")
    if not 36 <= dpi <= 1200:
        raise SaveError(f"{dpi:g} dots an inch cannot be drawn. Give dpi from 36 to 1200; print takes 300.")


def _drawn(spec: dict[str, Any], theme: str, width: float | None) -> str:
    """The SVG of a chart. For a given width it is drawn twice: labels and legends take what they take, the plot has the rest."""
    if width is None:
        return _svg(publication.figure(spec, theme))
    across = width * publication.INCH
    guess = 0.8 * across
    beside = size(_svg(publication.figure(spec, theme, plot=guess, across=across)))[0] - guess
    return _svg(publication.figure(spec, theme, plot=max(across - beside, across / 4), across=across))


def _svg(spec: dict[str, Any]) -> str:
    import vl_convert

    svg: str = vl_convert.vegalite_to_svg(spec, vl_version=VEGA_LITE, allowed_base_urls=[])
    return svg


def _pdf(svg: str) -> bytes:
    import vl_convert

    pdf: bytes = vl_convert.svg_to_pdf(svg)
    return pdf


def _png(svg: str, dpi: float) -> bytes:
    import vl_convert

    png: bytes = vl_convert.svg_to_png(svg, ppi=dpi)
    return png


def _csv(frame: pl.DataFrame, _: Carried) -> bytes:
    """Lists become JSON, as CSV has none."""
    lists = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.List)]
    written = frame.with_columns(
        pl.Series(name, [json.dumps(each, ensure_ascii=False) for each in frame[name].to_list()]) for name in lists
    )
    return written.write_csv().encode()


def _parquet(frame: pl.DataFrame, said: Carried) -> bytes:
    file = BytesIO()
    frame.write_parquet(file, metadata={"interp_widgets": said.provenance, "title": said.title})
    return file.getvalue()


def _replace(path: Path, content: bytes) -> None:
    try:
        with replacing(path) as beside:
            beside.write_bytes(content)
    except OSError as error:
        raise SaveError(f"{str(path)!r} could not be written: {error.strerror or error}.") from error
