"""How a script reads an activation and puts another in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..architectures import Tap

if TYPE_CHECKING:
    from ..session import Session


def vector(session: Session, name: str) -> str:
    """The expression that reads a site of the first row of a batch, [tokens, size]."""
    site = session.site(name)
    columns = session.layout.columns(site) if site.unit is not None else None
    part = "" if columns is None else f"[:, {int(columns[0])}:{int(columns[-1]) + 1}]"
    return f"{access(session, site.kind, f'layers[{site.layer}]')}[0]{part}"


def access(session: Session, kind: str, layer: str) -> str:
    """The expression that reads a kind of site of a layer."""
    whole = {"embed": session.architecture.embed, "final_norm": session.architecture.final_norm}
    if kind in whole:
        return f"model.{whole[kind]}.output"
    tap = session.architecture.taps[kind]
    return (
        f"{_end(tap, layer)}"
        + (f"[{tap.index!r}]" if tap.index is not None else "")
        + (".clone()" if tap.copied else "")
    )


def assign(session: Session, kind: str, value: str) -> list[str]:
    """The lines that replace it."""
    tap = session.architecture.taps[kind]
    whole = _end(tap, "module")
    if tap.shared:  # the layer adds this very tensor to the MLP's output later, so it must change in place
        return [f"{whole}.copy_({value})"]
    if tap.index is None:
        return [f"{whole} = {value}"]
    return [f"old = {whole}", f"{whole} = ({value}, *old[1:])"]


def _end(tap: Tap, layer: str) -> str:
    return ".".join(part for part in (layer, tap.module, tap.end) if part)
