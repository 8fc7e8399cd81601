"""Path patching: the effect that one component has on the answer through another one, and through nothing else.

For a sender and a receiver (Goldowsky-Dill et al. arXiv:2304.05969; Wang et al. arXiv:2211.00593, appendix B):

1. The sender's activation is replaced by the other prompt's. All attention and MLP outputs between sender and receiver are held as
   they were, so what reaches the receiver is the sender's own contribution to the stream, directly.
2. The receiver is computed from that stream.
3. The prompt is run with the receiver's activation replaced by that value, and everything after it computed.

Wang et al. let the MLPs between be computed again; here they are held, so that a path is one edge. Where heads share keys and
values (grouped attention), a path to `k.L.H` or `v.L.H` goes to all the heads that read it.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import torch

from .. import frames
from ..errors import SiteError
from ..progress import Progress, silent
from ..session.runner import Runner
from ..session.session import Session, Text
from ..session.sites import Site
from .activation_patching import expand_sites, prepare
from .patched_runs import Patch, Put, constant
from .patching_run import PatchingRun, label_of, patching_frame
from .prediction import check_metric
from .reading import Reading, Values, sites_of
from .suffix_sweep import most_tokens
from .sweep import MEMORY, few, in_batches

SENDERS = ("resid_pre", "head_out", "attn_out", "mlp_act", "mlp_out", "resid_post")
ATTENTION = ("q", "k", "v", "head_out", "attn_out")
RECEIVERS = (*ATTENTION, "mlp_act", "mlp_out", "resid_post")

Contribution = tuple[tuple[int, bool], torch.Tensor]
"""(layer, whether inside it, after its attention) from which on the stream has something more, and what: [tokens, width]."""


def path_patching(
    model: Session,
    *,
    clean: Text,
    corrupt: Text,
    answer: str | int | None = None,
    foil: str | int | None = None,
    senders: Sequence[str] = ("head_out.*.*",),
    receivers: Sequence[str] | str = "logits",
    positions: Sequence[int | Sequence[int]] | None = None,
    alignment: Sequence[Sequence[int]] | None = None,
    metric: str = "logit_difference",
    direction: str = "noise",
    memory: int = MEMORY,
    progress: Progress = silent,
) -> pl.DataFrame:
    """The effect of every sender at every position through the receivers (see `frames.PATH_PATCHING`).

    Args:
        model, clean, corrupt, answer, foil, positions, alignment, metric, memory: as in `activation_patching`; positions are the
            sender's.
        senders: sites as in `activation_patching`: resid_pre, head_out, attn_out, mlp_act, mlp_out, resid_post.
        receivers: sites whose input the sender reaches, all at once: q, k, v, head_out, attn_out, mlp_act, mlp_out, resid_post, or
            "logits" (default): the sender's direct effect on the output. A sender has no path to a receiver below it: effect 0.
        direction: "noise" (default, as in the papers): corrupt activations into the clean run; or "denoise".
        progress: called after each position.

    Raises:
        TextError, AlignmentError: as in `activation_patching`. SiteError: a sender or receiver that is none or does
            not exist.
    """
    check_metric(metric)
    wanted = [receivers] if isinstance(receivers, str) else list(receivers)
    ends = sites_of(expand_sites(model, [_alias(model, name) for name in wanted]))
    run = prepare(model, clean, corrupt, answer, foil, senders, alignment, positions=positions, direction=direction)
    for kinds, sites, role in (
        (SENDERS, [s for row in run.rows for s in row], "sender"),
        (RECEIVERS, ends, "receiver"),
    ):
        if bad := [site for site in sites if site.kind not in kinds]:
            raise SiteError(f"{bad[0]} cannot be a {role} of a path; use one of {', '.join(kinds)}.")
    if lost := [row for row in run.rows if len({site.layer for site in row}) > 1]:
        raise SiteError(f"{label_of(lost[0])} is over several layers; senders that go together stand in one layer.")
    run.fill_causal()
    run.work(model, _fill, ends, memory, progress=progress)
    run.reading = None
    frame = patching_frame(run, metric).with_columns(pl.lit(label_of(tuple(ends))).alias("receiver"))
    return frames.build(frames.PATH_PATCHING, {name: frame[name] for name in frames.PATH_PATCHING})


def _fill(model: Runner, run: PatchingRun, ends: Sequence[Site], memory: int, *, progress: Progress) -> None:
    """Every sender at every position that can be patched."""
    reading = run.reading or run.read(model)[0]
    run.reading = None
    todo = [c for c in run.patchable if c not in run.causal]
    held = _outputs(model, reading)
    own, sent = (
        [_contribution(model, reading, held, values) for values in senders]
        for senders in ([reading.unchanged(row) for row in few(range(len(run.rows)))], reading.put)
    )
    if todo:
        run.check(in_batches(model, run, reading, _patches(model, run, reading, held, ends, own, todo[-1:]), memory))
    for done, column in enumerate(todo):
        progress(done, len(todo), f"position {run.columns[column][0]}", run)
        patches = _patches(model, run, reading, held, ends, sent, [column])
        run.fill(range(len(run.rows)), [column], in_batches(model, run, reading, patches, memory))
    progress(len(todo), len(todo), "", run)


def _alias(model: Runner, name: str) -> str:
    return f"resid_post.{model.num_layers - 1}" if name == "logits" else name


def _outputs(model: Runner, reading: Reading) -> dict[str, torch.Tensor]:
    """The prompt's attention and MLP outputs of every layer, [tokens, width]: what is held."""
    kinds = [kind for kind in ("attn_out", "mlp_out") if kind in model.architecture.taps]
    names = [f"{kind}.{layer}" for layer in range(model.num_layers) for kind in kinds]
    return {name: value[0] for name, value in model.run([reading.ids], names).items()}


def _patches(
    model: Runner,
    run: PatchingRun,
    reading: Reading,
    held: dict[str, torch.Tensor],
    ends: Sequence[Site],
    sent: Sequence[Contribution],
    columns: Sequence[int],
) -> list[Patch]:
    """One patch per sender and column: what each receiver becomes when the sender alone has changed there."""
    out: list[Patch] = [[] for _ in range(len(sent) * len(columns))]
    for end in ends:
        streams, which = [], []
        for i, (stands, change) in enumerate(sent):
            if not _reaches(model, stands, end):
                continue
            for j, column in enumerate(columns):
                at = list(run.columns[column])
                stream = reading.streams[_reads(end)].clone()
                stream[at] += change[at]
                streams.append(stream)
                which.append((i * len(columns) + j, at[0]))
        for (i, first), value in zip(which, _received(model, reading, held, end, streams), strict=True):
            after = list(range(first, len(reading.ids)))
            out[i].append(Put(end, after, value[after]))
    last = len(reading.ids) - 1
    nothing = Put(Site("resid_post", model.num_layers - 1), [last], reading.streams[-1][[last]])
    return [patch or [nothing] for patch in out]


def _contribution(model: Runner, reading: Reading, held: dict[str, torch.Tensor], values: Values) -> Contribution:
    """Where a sender stands, and what it adds to the stream, [tokens, width].

    The rest of its layer is held, so this is the sender's own contribution, through a norm after it where there is one.
    """
    site, value = next(iter(values.items()))
    layer = int(site.layer or 0)
    if site.kind in ("resid_pre", "resid_post"):
        after = layer + (site.kind == "resid_post")
        return (after, False), value - reading.streams[after]
    kind = "attn_out" if site.kind in ATTENTION else "mlp_out"
    stands, name = ((layer, True) if kind == "attn_out" else (layer + 1, False)), f"{kind}.{layer}"
    if site.kind != kind:
        edit = {str(each): constant(x[None]) for each, x in values.items()}
        value = model.run([reading.ids], [name], edit=edit, start=(layer, reading.streams[layer][None]))[name][0]
    return stands, value - held[name]


def _reaches(model: Runner, sender: tuple[int, bool], end: Site) -> bool:
    """Whether a sender is before what the receiver reads."""
    layer, within = sender
    if layer != _reads(end):
        return layer < _reads(end)
    follows = end.kind in ("mlp_act", "mlp_out") and "resid_mid" in model.architecture.taps  # else side by side
    return not within or follows


def _reads(end: Site) -> int:
    """Which stream the receiver is computed from."""
    return int(end.layer or 0) + (end.kind == "resid_post")


def _received(
    model: Runner, reading: Reading, held: dict[str, torch.Tensor], end: Site, streams: Sequence[torch.Tensor]
) -> list[torch.Tensor]:
    """The receiver, [tokens, ...], for each stream into its layer."""
    if end.kind == "resid_post":  # it is the stream itself
        return list(streams)
    layer = int(end.layer or 0)
    step = most_tokens(model) // len(reading.ids) or 1
    out: list[torch.Tensor] = []
    for begin in range(0, len(streams), step):
        batch = torch.stack(list(streams[begin : begin + step]))
        before = {} if end.kind in ATTENTION else {f"attn_out.{layer}": held[f"attn_out.{layer}"]}
        edit = {name: constant(value.expand(len(batch), -1, -1)) for name, value in before.items()}
        out += model.run([reading.ids], [end], edit=edit, start=(layer, batch))[str(end)]
    return out
