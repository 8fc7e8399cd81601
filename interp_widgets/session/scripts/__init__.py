"""The scripts that panels hand out: plain nnsight that makes a panel's frame without this package.

A script is a template beside this file, filled with the state of a panel and the module paths of its model. The tests run
each in a fresh process and compare the frames.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ...errors import DictionaryError, SiteError
from ..architectures import Tap
from ..harvest import markers
from .loading import as_comment, fill, loading

if TYPE_CHECKING:
    from ...sae.dictionary import Dictionary
    from ..session import Session


def lens(session: Session, ids: list[int], positions: list[int], top_k: int, tracked: int | None) -> str:
    """The logit lens (see `methods.logit_lens`)."""
    softcap = f".div({session.softcap}).tanh().mul({session.softcap})" if session.softcap else ""
    return loading(session, "The logit lens") + fill(
        session,
        "lens.txt",
        ids=ids,
        prompt=as_comment(session, ids),
        positions=positions,
        top_k=top_k,
        tracked=tracked,
        first="[0]" if session.architecture.tuple_layer else "",
        softcap=softcap,
    )


def atoms(session: Session, ids: list[int], sae: Dictionary) -> str:
    """Active atoms of a dictionary (see `methods.atom_activations`)."""
    if not sae.reading:
        raise DictionaryError(
            f"{sae.name} was made in memory, so no script can read it. Use a dictionary that iw.load_sae reads from a file."
        )
    explained = f"        y = nnsight.save({_vector(session, sae.site_out)}.float())\n" if sae.transcodes else ""
    return loading(session, "Active atoms of a dictionary") + fill(
        session,
        "atoms.txt",
        ids=ids,
        prompt=as_comment(session, ids),
        reading="\n".join(sae.reading),
        x=sae.formula_in,
        activation=sae.formula,
        read=_vector(session, sae.site),
        explained=explained,
        y="y" if sae.transcodes else "x",
        scaled=sae.formula_scale and f" * ({sae.formula_scale})[position, 0]",
        site=sae.site,
    )


def patching(session: Session, run: Any, kinds: list[str], metric: str, undefined: float) -> str:
    """Activation patching, one trace per site (see `methods.activation_patching`). `run`: a `PatchingRun`."""
    source, prompt = (tokens["token_id"].to_list() for tokens in (run.source, run.prompt))
    return loading(session, "Activation patching") + fill(
        session,
        "patching.txt",
        source=source,
        prompt=prompt,
        source_text=as_comment(session, source),
        prompt_text=as_comment(session, prompt),
        answer=run.answer,
        foil=run.foil,
        answer_text=repr(session.text_of(run.answer)),
        foil_text=repr(session.text_of(run.foil)),
        pairs=run.pairs,
        unaffected=run.unaffected,
        undefined=undefined,
        sites=_patched_sites(session, kinds),
        kinds=kinds,
        metric=metric,
    )


def pairs(session: Session, run: Any, kinds: list[str], metric: str, undefined: float) -> str:
    """Patching over many pairs, one trace per pair and site (see `methods.patching_pairs`). `run`: a `PairsRun`."""
    sides = ("clean", "corrupt") if run.direction == "denoise" else ("corrupt", "clean")
    examples = [
        (
            *(session.encode(pair[side]) for side in sides),
            *(session.single_token(pair[role]) for role in ("answer", "foil")),
        )
        for pair in run.pairs[: run.done]
    ]
    return loading(session, "Activation patching over many pairs") + fill(
        session,
        "pairs.txt",
        pairs="".join(f"\n    {example}," for example in examples),
        others=run.others,
        columns=[(span[0], span[-1]) for span in run.columns],
        undefined=undefined,
        sites=_patched_sites(session, kinds),
        kinds=kinds,
        metric=metric,
    )


def audit(session: Session, run: Any) -> str:
    """Explained variance, L0, loss and loss recovered, window by window (see `methods.audit`). `run`: an `AuditRun`."""
    sae: Dictionary = run.sae
    if not sae.reading:
        raise DictionaryError(
            f"{sae.name} was made in memory, so no script can read it. Use a dictionary that iw.load_sae reads from a file."
        )
    site = session.site(sae.site)
    module = f"layers[{site.layer}]"
    put = (
        [f"model.{session.architecture.embed}.output = put"]
        if site.layer is None
        else [f"module = {module}", *_assign(session, site.kind, "put")]
    )
    with_loss = {id(window) for window in run.with_loss}
    return loading(session, "Audit of a dictionary") + fill(
        session,
        "audit.txt",
        fitted="[" + "".join(f"\n    {window.ids}," for window in run.fitted) + "\n]",
        measured="["
        + "".join(f"\n    ({window.source!r}, {window.ids}, {id(window) in with_loss})," for window in run.measured)
        + "\n]",
        markers=len(markers(session)),
        sink=session.sink,
        outliers=run.settings.outliers,
        reading="\n".join(sae.reading),
        x='x - sae["b_dec"]' if sae.subtract else "x",
        activation=sae.formula,
        read=_access(session, site.kind, module),
        assign="\n".join(" " * 16 + line for line in put),
        name=repr(sae.name),
    )


def _patched_sites(session: Session, kinds: list[str]) -> str:
    """The lines that patch and read each kind of site of one layer."""
    lines = []
    for kind in sorted(kinds, key=list(session.architecture.taps).index):
        access = _access(session, kind, "module")
        lines += [
            f'if patch is not None and patch[:2] == ("{kind}", layer):',
            *(f"    {x}" for x in _assign(session, kind, "patch[2]")),
        ]
        lines += [f'if "{kind}" in read:', f'    seen["{kind}", layer] = {access}']
    return "\n".join(" " * 16 + line for line in lines)


_LENGTH = """length = (value @ projection).float().norm(dim=-1)
"""


def attention(
    session: Session, ids: list[int], layer: int, head: int, queries: range, keys: range, value_weighted: bool
) -> str:
    """The attention of one head (see `methods.attention`)."""
    value = length = ""
    if value_weighted:
        site = session.site(f"v.{layer}.{head // (session.num_heads // session.num_kv_heads)}")
        columns = session.layout.columns(site)
        assert columns is not None  # a head is a part of its projection
        read = _access(session, "v", f"layers[{layer}]")
        value = f"\n        value = nnsight.save({read}[0, :, {int(columns[0])}:{int(columns[-1]) + 1}])"
        turned = ".T" if session.layout.output_is_linear else ""
        weight = f"layers[{layer}].{session.architecture.heads_in}.weight{turned}"
        part = f"{weight}.unflatten(0, ({session.num_heads}, -1))[head]"
        value += f"\n        projection = nnsight.save({part}.detach())  # [head width, width]"
        length = _LENGTH
    return loading(session, "Attention of one head") + fill(
        session,
        "attention.txt",
        ids=ids,
        prompt=as_comment(session, ids),
        layer=layer,
        head=head,
        queries=f"{queries.start}, {queries.stop}",
        keys=f"{keys.start}, {keys.stop}",
        value=value,
        read=_access(session, "pattern", f"layers[{layer}]"),
        length=length,
        value_weight="float(weight[q, k] * length[k])" if value_weighted else "None",
    )


_AMOUNTS = {
    "add": "strength.expand(x.shape[:-1])",
    "project_out": "-strength * (x @ vector) / vector.dot(vector)",
    "clamp": "strength - (x @ vector) / vector.dot(vector)",
    "ablate": "-strength * encode(x)[..., atom]",
}

_ENCODE = """

def encode(x):
    h = ({x}) @ sae["W_enc"] + sae["b_enc"]
    return {formula}
"""


def steering(session: Session, run: Any) -> str:
    """Steering, everything read again for each new token (see `methods.steer`). `run`: a `SteeringRun`."""
    change, direction = run.change, run.change.direction
    if wrong := [site for site in change.sites if site.layer is None or site.unit is not None]:
        raise SiteError(f"No script can be written for {wrong[0]}; steer a site of whole layers, such as resid_post.")
    sae = direction.dictionary
    if sae is not None and sae.reading:
        encode = _ENCODE.format(x='x - sae["b_dec"]' if sae.subtract else "x", formula=sae.formula)
        lines = [*sae.reading, f'atom, vector = {direction.atom}, sae["W_dec"][{direction.atom}]']
        reading = "\n".join(lines) + (encode if change.mode == "ablate" else "")
    elif change.mode == "ablate":
        raise DictionaryError(f"{sae.name} was made in memory, so no script can read it.")
    else:
        reading = f"vector = torch.tensor({direction.vector.tolist()})  # {direction.made}"
    tokens = run.tokens["token_id"].to_list()
    free = [p for p in range(len(tokens)) if p not in run.masked]
    return loading(session, "Steering") + fill(
        session,
        "steering.txt",
        ids=tokens,
        prompt=as_comment(session, tokens),
        answer=run.answer,
        foil=run.foil,
        answer_text=repr(session.text_of(run.answer)),
        foil_text=repr(session.text_of(run.foil)),
        tokens=run.length,
        ends=run.ends,
        temperature=run.temperature,
        seed=run.seed,
        strengths=run.strengths,
        positions=change.positions,
        generated=change.generated,
        ratio_positions=change.positions or free or list(range(len(tokens))),
        sites_list=[(site.kind, site.layer) for site in change.sites],
        reading=reading,
        seeds=run.seeds,
        amount=_AMOUNTS[change.mode],
        sites=_steered_sites(session, dict.fromkeys(site.kind for site in change.sites)),
    )


def _steered_sites(session: Session, kinds: Iterable[str]) -> str:
    """The lines that read and steer each kind of site of one layer."""
    lines = []
    for kind in sorted(kinds, key=list(session.architecture.taps).index):
        lines += [
            f'if ("{kind}", layer) in sites:',
            f'    seen["{kind}", layer] = {_access(session, kind, "module")}',
            "    if along is not None and at.any():",
            f'        value = steered(seen["{kind}", layer], along, strength, at)',
            *(f"        {line}" for line in _assign(session, kind, "value")),
        ]
    return "\n".join(" " * 16 + line for line in lines)


def _vector(session: Session, name: str) -> str:
    """The expression that reads a site of the first row of a batch, [tokens, size]."""
    site = session.site(name)
    columns = session.layout.columns(site) if site.unit is not None else None
    part = "" if columns is None else f"[:, {int(columns[0])}:{int(columns[-1]) + 1}]"
    return f"{_access(session, site.kind, f'layers[{site.layer}]')}[0]{part}"


def _access(session: Session, kind: str, layer: str) -> str:
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


def _assign(session: Session, kind: str, value: str) -> list[str]:
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
