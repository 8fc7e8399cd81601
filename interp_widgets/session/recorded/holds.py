"""What a recording holds, for people: as a frame, and in words. Needs no torch."""

from __future__ import annotations

import polars as pl

from ... import frames
from ...errors import RecordingError
from .. import known
from .file import File

NAMED = 5
"""Texts that a sentence names."""


def holds(file: File) -> pl.DataFrame:
    """Panels and single questions of a recording (see `frames.RECORDED`)."""
    try:
        rows = [("panel", each["class"], each["about"], each["bytes"]) for each in file.index["panels"]]
        rows += [("answer", each["work"], each["text"], each["bytes"]) for each in file.index["answers"].values()]
        kind, name, text, size = map(list, zip(*rows, strict=True)) if rows else ([], [], [], [])
        return frames.build(frames.RECORDED, {"kind": kind, "name": name, "about": text, "bytes": size})
    except (KeyError, TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise RecordingError(
            f"The list in {file.path} cannot be read ({error!r}). It is damaged; record again."
        ) from error


def listed(file: File) -> str:
    """What there is, in a few words."""
    found = holds(file)
    panels, texts = found.filter(kind="panel"), found.filter(pl.col("about") != "")["about"].unique(maintain_order=True)
    named = "; ".join(repr(text) for text in texts[:NAMED]) + (f" and {len(texts) - NAMED} more" * (len(texts) > NAMED))
    counts = [f"{len(panels)} panels" * bool(len(panels)), f"{len(found) - len(panels)} answers"]
    return " and ".join(filter(None, counts)) + (f" on {named}" if named else "")


def loading(file: File) -> str:
    """How the model is loaded that was recorded."""
    source = file.facts.get("source")
    known_as = file.facts.get("name")
    short = known_as in known.KNOWN or str(source).startswith("{interp_widgets}")
    return f"iw.load({(known_as if short else source)!r})" if source else "iw.load(module, tokenizer=...)"
