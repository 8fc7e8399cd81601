"""What is kept of a panel beside what is drawn, as plain values: enough to have it again with no model and nothing computed.

One format, for pages and for the outputs of notebooks; `reopen` reads it. Everything in it is data.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import zlib
from contextlib import suppress
from typing import Any

import polars as pl

from .. import __version__
from ..errors import InterpError, KeptError
from .recipe import recipe

MOST = 1_000_000
"""Bytes of a packed frame or chart beyond which it is left out; it is computed again when it is asked for."""
_LARGEST = 64_000_000
"""Bytes that one packed value may become."""
_ROWS = 20_000_000


def describe(panel: Any) -> dict[str, Any]:
    """What is kept of a panel, beside its traits.

    Returns:
        class: name of the panel's class.
        version: of this package.
        arguments: those that it was made with, but for its model, with its present texts (see `recipe`).
        provenance: what the result rests on; of the model alone if there is no result.
        code: the script that makes the frame, or None.
        frame: the result as Parquet in base64; None for one that is large, unfinished or not there.
        chart: the Vega-Lite specification, packed, where it rests on more than the frame.

    Nothing is waited for. A frame that the panel makes on request is made.
    """
    job, composed = getattr(panel, "_job", None), hasattr(panel, "parts")  # an explorer's results are its parts'
    finished = (job is None or not job.running) and not composed
    result = _result(panel) if finished else {}
    return {
        "class": type(panel).__name__,
        "version": __version__,
        "arguments": {} if composed else recipe(panel)["arguments"],
        "provenance": json.loads(json.dumps(_provenance(panel, finished), default=str)),
        **{name: result.get(name) for name in ("code", "frame", "chart")},
    }


def _provenance(panel: Any, finished: bool) -> dict[str, Any]:
    if finished:
        with suppress(InterpError):
            found: dict[str, Any] = panel.provenance
            return found
    found = panel.session.provenance()
    return found


def _result(panel: Any) -> dict[str, Any]:
    """Frame, code and chart, as far as there is a result that needs no server to be asked once more."""
    try:
        if panel.host and panel.asks_for_frame:
            return {"code": panel.code()}
        frame = pack_frame(panel.frame)
        chart = pack_chart(panel.chart.to_dict()) if frame and panel.charts_more else None
        return {"frame": frame, "code": panel.code(), "chart": chart}
    except InterpError:
        return {}


def pack_frame(frame: pl.DataFrame) -> str | None:
    """A frame as Parquet in base64; None for more than `MOST` bytes."""
    file = io.BytesIO()
    frame.write_parquet(file, compression="zstd")
    return base64.b64encode(file.getvalue()).decode() if file.tell() <= MOST else None


def pack_chart(spec: dict[str, Any]) -> str | None:
    """A specification as compressed JSON in base64; None for more than `MOST` bytes."""
    packed = zlib.compress(json.dumps(spec, separators=(",", ":")).encode(), 9)
    return base64.b64encode(packed).decode() if len(packed) <= MOST else None


def unpack(packed: str) -> bytes:
    """Compressed bytes in base64.

    Raises:
        KeptError: they are damaged, or become too many.
    """
    unzip = zlib.decompressobj()
    try:
        found = unzip.decompress(base64.b64decode(packed, validate=True), _LARGEST)
    except (binascii.Error, zlib.error, ValueError, TypeError) as error:
        raise KeptError(f"The kept panel is damaged: some of its values cannot be unpacked ({error}).") from error
    if unzip.unconsumed_tail or not unzip.eof:
        raise KeptError("The kept panel is damaged: some of its values are cut off, or larger than any panel writes.")
    return found


def unpack_frame(packed: str) -> pl.DataFrame:
    """What `pack_frame` has packed.

    Raises:
        KeptError: it is no such thing.
    """
    try:
        file = base64.b64decode(packed, validate=True)
        rows = pl.scan_parquet(io.BytesIO(file)).select(pl.len()).collect().item()
        if rows > _ROWS:
            raise KeptError(f"The kept panel has a table of {rows:,} rows, which is more than any panel writes.")
        return pl.read_parquet(io.BytesIO(file))
    except (binascii.Error, ValueError, TypeError, OSError, pl.exceptions.PolarsError) as error:
        raise KeptError(f"The kept panel is damaged: its table cannot be read ({error}).") from error
