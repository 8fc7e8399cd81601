"""Names of activations.

A site is written `kind`, `kind.layer` or `kind.layer.unit`, as in `resid_post.15`, `head_out.9.6` (a head) or `mlp_act.3.100` (a
neuron). The names that other libraries use are accepted wherever a site is: TransformerLens hook names, nnterp accessors,
Hugging Face module paths.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import SiteError

if TYPE_CHECKING:
    from .architectures import Architecture

LAYER_KINDS = (
    "resid_pre",
    "q",
    "k",
    "v",
    "head_out",
    "pattern",
    "attn_out",
    "resid_mid",
    "mlp_in",
    "mlp_act",
    "mlp_out",
    "resid_post",
)
"""Kinds of site that each layer has, in the order in which a forward pass makes them."""

UNIT_KINDS = ("q", "k", "v", "head_out", "mlp_act")
"""Those that are made of units: heads, or the neurons of an MLP."""

KINDS = ("embed", *LAYER_KINDS, "final_norm", "logits")

_TRANSFORMER_LENS = {
    "hook_resid_pre": "resid_pre",
    "hook_resid_mid": "resid_mid",
    "hook_resid_post": "resid_post",
    "hook_attn_out": "attn_out",
    "hook_mlp_in": "resid_mid",
    "hook_mlp_out": "mlp_out",
    "mlp.hook_in": "mlp_in",
    "mlp.hook_post": "mlp_act",
    "attn.hook_q": "q",
    "attn.hook_k": "k",
    "attn.hook_v": "v",
    "attn.hook_z": "head_out",
    "attn.hook_pattern": "pattern",
}

_NNTERP = {
    "layers_input": "resid_pre",
    "layers_output": "resid_post",
    "attentions_output": "attn_out",
    "mlps_output": "mlp_out",
    "attention_probabilities": "pattern",
}

_WHOLE = {
    "hook_embed": "embed",
    "ln_final.hook_normalized": "final_norm",
    "token_embeddings": "embed",
    "unembed.hook_out": "logits",
}


@dataclass(frozen=True, order=True)
class Site:
    """An activation: `kind`, for most kinds a `layer`, and perhaps a `unit`: a head of q, k, v, head_out, a neuron of mlp_act."""

    kind: str
    layer: int | None = None
    unit: int | None = None

    def __str__(self) -> str:
        return ".".join(str(part) for part in (self.kind, self.layer, self.unit) if part is not None)

    @property
    def order(self) -> tuple[int, int]:
        """Sorts sites into the order in which a forward pass makes them."""
        if self.kind == "embed":
            return (-1, 0)
        if self.layer is None:
            return (10**9, KINDS.index(self.kind))
        return (self.layer, LAYER_KINDS.index(self.kind))


def parse(name: str | Site, architecture: Architecture | None = None) -> Site:
    """The site that a name means, in any of the accepted spellings.

    `architecture` is needed for Hugging Face module paths only.

    Raises:
        SiteError: no known spelling matches.
    """
    if isinstance(name, Site):
        return name
    site = _own(name) or _foreign(name) or (_module_path(name, architecture) if architecture else None)
    if site is None:
        raise SiteError(
            f"{name!r} is not a site. Write kind.layer, such as resid_post.15, head_out.9.6, or one of embed, final_norm, "
            f"logits; the kinds are {', '.join(KINDS)}. TransformerLens hook names, nnterp accessors and module paths also work."
        )
    return site


def transformer_lens_name(site: Site) -> str:
    """The hook of TransformerLens for a whole site, as SAELens' files write it: resid_post.15 -> blocks.15.hook_resid_post."""
    if site.layer is None:
        return next(hook for hook, kind in _WHOLE.items() if kind == site.kind)
    hook = next(hook for hook, kind in _TRANSFORMER_LENS.items() if kind == site.kind)
    return f"blocks.{site.layer}.{hook}"


def _own(name: str) -> Site | None:
    kind, *numbers = name.split(".")
    if kind not in KINDS or not all(n.isdecimal() for n in numbers):
        return None
    if kind not in LAYER_KINDS:
        return Site(kind) if not numbers else None
    if len(numbers) == 2 and kind in UNIT_KINDS:
        return Site(kind, int(numbers[0]), int(numbers[1]))
    return Site(kind, int(numbers[0])) if len(numbers) == 1 else None


def _foreign(name: str) -> Site | None:
    if name in _WHOLE:
        return Site(_WHOLE[name])
    if (m := re.fullmatch(r"blocks\.(\d+)\.(.+)", name)) and m[2] in _TRANSFORMER_LENS:
        return Site(_TRANSFORMER_LENS[m[2]], int(m[1]))
    if (m := re.fullmatch(r"(\w+)\[(\d+)\]", name)) and m[1] in _NNTERP:
        return Site(_NNTERP[m[1]], int(m[2]))
    return None


def _module_path(name: str, arch: Architecture) -> Site | None:
    """`model.layers.3`, `model.layers.3.mlp`, `model.layers.3.mlp.down_proj.input`; `.output` is what is meant without an end."""
    path, end = (name.rsplit(".", 1)) if name.endswith((".input", ".output")) else (name, "output")
    for kind, module in (("embed", arch.embed), ("final_norm", arch.final_norm), ("logits", arch.head)):
        if (path, end) == (module, "output"):
            return Site(kind)
    if not (m := re.fullmatch(re.escape(arch.layers) + r"\.(\d+)(?:\.(.+))?", path)):
        return None
    layer, inner = int(m[1]), m[2] or ""
    for kind in LAYER_KINDS:
        tap = arch.taps.get(kind)
        if kind == "pattern" or (arch.fused and kind in ("q", "k", "v")):  # only a part of what the module returns
            continue
        if tap is not None and (inner, end) == (tap.module, tap.end):
            return Site(kind, layer)
    return None
