"""The script of the Shift panel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...errors import DictionaryError
from . import _access, _assign
from .loading import fill, loading

if TYPE_CHECKING:
    from ...sae.dictionary import Dictionary
    from ..session import Session

_PART = """def part_{number}(x):
    h = ({x}) @ sae_{number}["W_enc"] + sae_{number}["b_enc"]
    a = {activation}
    return (a[..., {atoms}] @ sae_{number}["W_dec"][{atoms}]){scale}


"""


def shift(session: Session, run: Any, struck: list[tuple[Dictionary, list[int]]]) -> str:
    """SHIFT's probe as it is, without some atoms, and trained again (see `methods.shift`). `run`: a `ShiftRun`."""
    parts, strikes = "", []
    for number, (sae, atoms) in enumerate(each for each in struck if each[1]):
        if not sae.reading:
            raise DictionaryError(
                f"{sae.name} was made in memory, so no script can read it. Use a dictionary that iw.load_sae reads from a file."
            )
        mine = f"sae_{number}"
        parts += "\n".join(sae.reading) + f"\n{mine} = sae\n\n\n"
        parts += _PART.format(
            number=number,
            x=sae.formula_in.replace('sae["', f'{mine}["'),
            activation=sae.formula.replace('sae["', f'{mine}["'),
            atoms=atoms,
            scale=f" * ({sae.formula_scale})" if sae.formula_scale else "",
        )
        access, assign = _reached(session, sae.site)
        strikes += [
            f"x = {access}",
            f"put = x - torch.where(at, part_{number}(x.float()), 0).to(x)",
            *assign,
        ]

    def texts(split: str) -> str:
        of = run.data.splits[split]
        rows = zip(of.ids, of.label.int().tolist(), of.spurious.int().tolist(), strict=True)
        return "[" + "".join(f"\n    ({ids}, {label}, {other})," for ids, label, other in rows) + "\n]"

    return loading(session, "SHIFT: a probe without some atoms") + fill(
        session,
        "shift.txt",
        ambiguous=texts("ambiguous"),
        test=texts("test"),
        sink=session.sink,
        special=sorted(session.special_ids),
        parts=parts,
        strikes="\n".join(" " * 16 + line for line in strikes or ["pass"]),
        probe=_reached(session, run.probe.site)[0],
        l2=run.l2,
        groups=[(name, int(y), int(z)) for name, y, z in run.data.groups()],
        nodes=sum(len(atoms) for _, atoms in struck),
    )


def _reached(session: Session, name: str) -> tuple[str, list[str]]:
    """How a script reads a site of a trace, and the lines that set it to `put`."""
    site = session.site(name)
    if site.layer is None:
        path = f"model.{session.architecture.embed if site.kind == 'embed' else session.architecture.final_norm}.output"
        return path, [f"{path} = put"]
    module = f"layers[{site.layer}]"
    return _access(session, site.kind, module), [f"module = {module}", *_assign(session, site.kind, "put")]
