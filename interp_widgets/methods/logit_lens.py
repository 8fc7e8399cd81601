"""The logit lens: what each layer would predict if it were the last.

For the residual stream h after layer l, softmax(unembed(final_norm(h))) (nostalgebraist, "interpreting GPT: the logit lens",
2020). The last layer's row is the model's own output. The divergence is KL(output || layer), as in the tuned lens (Belrose
et al., arXiv:2303.08112, section 3); it is the lens of the plain logits, not a trained one, and early layers of many models
write in another basis: a word there is a hint, not a finding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import polars as pl
import torch

from .. import frames
from ..errors import TextError
from ..progress import Progress, silent
from ..session.masking import sinks
from ..session.runner import Runner
from ..session.session import Session, Text
from .choices import layers_of, positions_of
from .ranking import top_k as largest

ROWS = 256
"""Cells whose logits are held at once: 256 x 49,152 float32 are 50 MB."""

OUTPUT = -1
"""Stands for the token to follow where it is the one that the model predicts last."""


@dataclass(frozen=True)
class LensRun:
    """All that one pass of the lens measured; `L` layers, `P` positions, `K` listed tokens, `M` tokens with a line.

    Tensors are float32 or int64 on the CPU.
    """

    tokens: pl.DataFrame
    layers: list[int]
    positions: list[int]
    top_ids: torch.Tensor
    """[L, P, K]"""
    top_logits: torch.Tensor
    """[L, P, K]"""
    log_normaliser: torch.Tensor
    """[L, P]: log of the sum of exp(logit)"""
    entropy: torch.Tensor
    """[L, P], nats"""
    kl: torch.Tensor
    """[L, P], nats"""
    tracked: int | None
    tracked_rank: torch.Tensor
    """[L, P], 1 is most likely; -1 without a tracked token"""
    line_ids: torch.Tensor
    """[P, M]: tokens that are listed at some layer of this position, likeliest first, -1 where fewer"""
    line_logits: torch.Tensor
    """[L, P, M]"""
    norms: torch.Tensor
    """[L, T]: norm of the stream at every position of the text"""

    @property
    def top_probabilities(self) -> torch.Tensor:
        """[L, P, K]"""
        return (self.top_logits - self.log_normaliser[..., None]).exp()

    @property
    def line_probabilities(self) -> torch.Tensor:
        """[L, P, M]"""
        return (self.line_logits - self.log_normaliser[..., None]).exp()


def logit_lens(
    model: Session,
    text: Text,
    *,
    layers: Sequence[int] | None = None,
    positions: Sequence[int] | None = None,
    top_k: int = 5,
    track: str | int | None = None,
    progress: Progress = silent,
) -> pl.DataFrame:
    """The lens of a text, one row per layer, position and listed token (see `frames.LENS`).

    Args:
        model: a session.
        text: a text, or token ids.
        layers: which layers, default all. The last layer is always run, since `kl` compares with it.
        positions: which positions, default all.
        top_k: how many tokens to list in each cell.
        track: a token (id or text of one token) whose rank is wanted in every cell; default none.
        progress: see `progress.Progress`.

    Raises:
        TextError, SiteError: an empty or too long text, a position or a layer that does not exist.
    """
    run = run_lens(model, text, layers=layers, positions=positions, top_k=top_k, track=track, progress=progress)
    return lens_frame(model, run)


def lens_lines(
    model: Session, text: Text, position: int, token_ids: Sequence[int], *, layers: Sequence[int] | None = None
) -> pl.DataFrame:
    """The way of some tokens through the layers at one position (see `frames.LENS_LINES`)."""
    ids, wanted = model.encode(text), layers_of(model, layers)
    [position] = positions_of(len(ids), [position])
    chosen = [model.single_token(int(t)) for t in token_ids]
    logits, total = model.work(_lens_lines, ids, position, wanted, chosen)
    columns = {
        "position": [position] * logits.numel(),
        "token_id": [t for t in chosen for _ in wanted],
        "token": [model.text_of(t) for t in chosen for _ in wanted],
        "layer": wanted * len(chosen),
        "logit": logits.T.flatten().tolist(),
        "probability": (logits - total[:, None]).exp().T.flatten().tolist(),
    }
    return frames.build(frames.LENS_LINES, columns)


def _lens_lines(
    model: Runner, ids: list[int], position: int, layers: list[int], chosen: list[int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of the chosen tokens [layers, tokens], and the log of the sum of exp(logit) [layers]."""

    def reduce(values: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        stream = torch.stack([values[f"resid_post.{layer}"][0, position] for layer in layers])
        logits = model.unembed(stream).float()
        return logits[:, chosen].cpu(), logits.logsumexp(-1).cpu()

    return model.run([ids], [f"resid_post.{layer}" for layer in layers], then=reduce)


def run_lens(
    model: Session,
    text: Text,
    *,
    layers: Sequence[int] | None = None,
    positions: Sequence[int] | None = None,
    top_k: int = 5,
    track: str | int | None = None,
    track_output: bool = False,
    lines: int = 20,
    progress: Progress = silent,
) -> LensRun:
    """One pass of the lens, reduced inside the trace.

    `track_output` follows the model's own last prediction, where `track` names no token; `lines` is how many tokens of each
    position get a line.
    """
    if not 1 <= top_k <= model.vocabulary_size:
        raise TextError(f"top_k must lie between 1 and {model.vocabulary_size}, not {top_k}.")
    ids, wanted = model.encode(text), layers_of(model, layers)
    at = positions_of(len(ids), positions)
    tracked = model.single_token(track) if track is not None else None
    follow = OUTPUT if tracked is None and track_output else tracked
    out = model.work(_lens, ids, wanted, at, top_k, follow, lines, progress=progress)
    followed = int(out.pop("tracked"))
    return LensRun(model.tokens(ids), wanted, at, tracked=None if followed < 0 else followed, **out)


def _lens(
    model: Runner,
    ids: list[int],
    wanted: list[int],
    at: list[int],
    top_k: int,
    follow: int | None,
    lines: int,
    progress: Progress = silent,
) -> dict[str, torch.Tensor]:
    """The tensors of a `LensRun`, and the token followed, -1 for none."""
    read = sorted({*wanted, model.num_layers - 1})

    def reduce(values: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        streams = torch.stack([values[f"resid_post.{layer}"][0] for layer in read])
        normed = model.final_norm(streams[:, at])
        blocks = normed.split(ROWS, dim=1)
        parts: list[dict[str, torch.Tensor]] = []
        followed = follow
        for i, block in enumerate(reversed(blocks)):  # the last block has the prediction that may be followed
            part, followed = _measure(model, block, top_k, followed, _share(progress, i, len(blocks)))
            parts.insert(0, part)
        rows = [read.index(layer) for layer in wanted]
        out = {name: torch.cat([part[name] for part in parts], dim=1)[rows] for name in parts[0]}
        out["tracked"] = torch.tensor(-1 if followed is None else followed)
        out["line_ids"] = _line_tokens(out["top_ids"], out["top_logits"] - out["log_normaliser"][..., None], lines)
        chosen = out["line_ids"].clamp(min=0)
        out["line_logits"] = model.token_logits(normed[rows], chosen).float()
        out["norms"] = streams[rows].float().norm(dim=-1)
        return {name: x.cpu() for name, x in out.items()}

    return model.run([ids], [f"resid_post.{layer}" for layer in read], then=reduce)


def _measure(
    model: Runner, normed: torch.Tensor, k: int, follow: int | None, progress: Progress
) -> tuple[dict[str, torch.Tensor], int | None]:
    """Everything that needs whole rows of logits, and the token followed; `normed` [layers, positions, width], the output's last.

    The product runs over many rows at once, where it is fastest, into memory that is used again: fresh pages would cost a
    fifth of it. The rest goes layer by layer, from the output downwards, since all are compared with it.
    """
    count, positions, _ = normed.shape
    step = max(1, ROWS // positions)
    room = spare = output = None
    cells: list[dict[str, torch.Tensor]] = []
    for end in range(count, 0, -step):
        progress(count - end, count, "layers")
        room = model.head(normed[max(0, end - step) : end], out=room)
        for logits in room.float().unbind()[::-1]:
            if follow == OUTPUT:
                follow = int(logits[-1].argmax())
            spare = torch.empty_like(logits) if spare is None else spare
            output = _Output.of(logits, spare) if output is None else output
            cells.insert(0, _cell(logits, spare, output, k, follow))
    progress(count, count, "layers")
    return {name: torch.stack([cell[name] for cell in cells]) for name in cells[0]}, follow


class _Output(NamedTuple):
    """The output's distribution p = weights / total, left undivided: in float32 the quotients sum to 1 + 1e-5."""

    weights: torch.Tensor
    """[positions, vocabulary]: exp(logit - largest logit)"""
    total: torch.Tensor
    """[positions]"""
    entropy: torch.Tensor
    """[positions], nats"""

    @staticmethod
    def of(logits: torch.Tensor, spare: torch.Tensor) -> _Output:
        shifted = torch.sub(logits, logits.amax(-1, keepdim=True), out=spare)
        weights = shifted.exp()
        total = weights.sum(-1)
        return _Output(weights, total, total.log() - shifted.mul_(weights).sum(-1) / total)


def _cell(
    logits: torch.Tensor, spare: torch.Tensor, output: _Output, k: int, follow: int | None
) -> dict[str, torch.Tensor]:
    """One layer: `logits` [positions, vocabulary]. Overwrites `logits`, and `spare` of the same shape."""
    values, indices = largest(logits, k)
    best = values[:, :1]
    rank = torch.full_like(indices[:, 0], -1)
    if follow is not None:
        rank = torch.gt(logits, logits[:, follow, None], out=spare).sum(-1).long() + 1
    shifted = logits.sub_(best)  # small numbers near the top: the sums below lose nothing to rounding
    weights = torch.exp(shifted, out=spare)
    total = weights.sum(-1)
    entropy = total.log() - weights.mul_(shifted).sum(-1) / total
    cross = total.log() - shifted.mul_(output.weights).sum(-1) / output.total
    return {
        "top_ids": indices,
        "top_logits": values,
        "log_normaliser": total.log() + best.squeeze(-1),
        "entropy": entropy,
        "kl": (cross - output.entropy).clamp(min=0),
        "tracked_rank": rank,
    }


def _share(progress: Progress, block: int, blocks: int) -> Progress:
    """The progress of one of several equal blocks of work."""

    def inner(done: int, total: int, message: str = "", partial: object = None) -> None:
        progress(block * total + done, blocks * total, message, partial)

    return inner


def _line_tokens(top_ids: torch.Tensor, log_probability: torch.Tensor, most: int) -> torch.Tensor:
    """The tokens listed at any layer of each position, likeliest first: [positions, <= most], -1 where fewer."""
    rows = []
    for ids, logs in zip(top_ids.transpose(0, 1), log_probability.transpose(0, 1), strict=True):
        order = logs.flatten().argsort(descending=True)
        rows.append(list(dict.fromkeys(ids.flatten()[order].tolist()))[:most])
    width = max(len(row) for row in rows)
    return torch.tensor([row + [-1] * (width - len(row)) for row in rows], device=top_ids.device)


def lens_frame(model: Session, run: LensRun) -> pl.DataFrame:
    """The frame of a run (see `frames.LENS`)."""
    count, positions, k = run.top_ids.shape
    prompt = run.tokens[run.positions]
    cell = {
        "layer": torch.tensor(run.layers)[:, None].expand(count, positions),
        "position": torch.tensor(run.positions).expand(count, positions),
        "prompt_token_id": torch.tensor(prompt["token_id"].to_list()).expand(count, positions),
        "entropy": run.entropy,
        "kl": run.kl,
        "tracked_rank": run.tracked_rank,
    }
    columns: dict[str, object] = {
        n: x[..., None].expand(count, positions, k).flatten().numpy() for n, x in cell.items()
    }
    columns |= {
        "rank": torch.arange(1, k + 1).expand(count, positions, k).flatten().numpy(),
        "token_id": run.top_ids.flatten().numpy(),
        "token": [model.text_of(i) for i in run.top_ids.flatten().tolist()],
        "logit": run.top_logits.flatten().numpy(),
        "probability": run.top_probabilities.flatten().numpy(),
    }
    columns["prompt_token"] = [model.text_of(int(i)) for i in columns["prompt_token_id"]]  # type: ignore[attr-defined]
    if run.tracked is None:
        columns["tracked_rank"] = [None] * run.top_ids.numel()
    return frames.build(frames.LENS, columns)


def masked_positions(model: Session, run: LensRun) -> list[int]:
    """Positions to leave out of scales: see `masking.sinks`."""
    return sinks(model, run.tokens["token_id"].to_list(), run.norms)
