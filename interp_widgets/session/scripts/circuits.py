"""The script of a circuit: a block for each dictionary, and the lines that read its site."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...errors import DictionaryError
from .access import access, assign
from .loading import fill, loading

if TYPE_CHECKING:
    from ...sae.dictionary import Dictionary
    from ..session import Session

_DICTIONARY = """{reading}
dictionaries["{site}"] = (
    lambda x, sae=sae: (lambda h: {activation})(({x}) @ sae["W_enc"] + sae["b_enc"]),
    sae["W_dec"],
    lambda x, sae=sae: {bias},
    lambda x: {scale},
)"""

_COORDINATES = (
    """dictionaries["{site}"] = (lambda x: x, torch.eye({size}), lambda x: torch.zeros_like(x), lambda x: 1)"""
)


def circuit(session: Session, run: Any, dictionaries: Mapping[str, Dictionary], quantile: float | None) -> str:
    """Effects of nodes by attribution (see `methods.circuit`). `run`: a `CircuitRun`."""
    blocks, lines = [], []
    for site, sae in dictionaries.items():
        if sae.origin.get("format") == "coordinates":
            blocks.append(_COORDINATES.format(site=site, size=sae.d_in))
        elif not sae.reading:
            raise DictionaryError(
                f"{sae.name} was made in memory, so no script can read it. Use a dictionary that iw.load_sae reads from a file."
            )
        else:
            scale = sae.formula_scale or "1"
            bias = f'sae["b_dec"] * ({scale})' + (
                " + x.mean(-1, keepdim=True)" if sae.norm in ("center", "layer_norm") else ""
            )
            blocks.append(
                _DICTIONARY.format(
                    reading="\n".join(sae.reading),
                    site=site,
                    activation=sae.formula,
                    x=sae.formula_in,
                    bias=bias,
                    scale=scale,
                )
            )
        found = session.site(site)
        module = f"layers[{found.layer}]"
        put = (
            [f"model.{session.architecture.embed}.output = x"]
            if found.layer is None
            else [f"module = {module}", *assign(session, found.kind, "x")]
        )
        lines += [
            f"x = {access(session, found.kind, module)}",
            "x = x.clone() if x.requires_grad else x.detach().clone().requires_grad_(slope)",
            *put,
            f'seen["{site}"] = x',
        ]
    prompts, pairs = run.prompts, {}
    for batch in prompts.batches:
        for i, row in enumerate(batch.rows.tolist()):
            corrupt = None if batch.corrupt is None else batch.corrupt[i].tolist()
            counted = batch.counted[i].nonzero()[:, 0].tolist()
            pairs[row] = (batch.clean[i].tolist(), corrupt, prompts.answers[row], prompts.foils[row], counted)
    return loading(session, "Effects of the nodes of a circuit") + fill(
        session,
        "circuit.txt",
        pairs="".join(f"\n    {pairs[row]}," for row in sorted(pairs)),
        apart=run.positions == "apart",
        dictionaries="\n".join(blocks),
        sites="\n".join(" " * 12 + line for line in lines),
        quantile=quantile,
    )
