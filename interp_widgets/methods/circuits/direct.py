"""Direct paths: how the metric changes through a node as an earlier node changes, everything in between held still.

At every site with a dictionary the activation is replaced by a leaf of the same value. A leaf stops gradients of what comes before
it and collects those of what follows, up to the next leaf. So one forward pass gives each site as a function of the leaves alone,
and a backward pass from a node ends at the nodes that have a direct path to it, wherever these are: attention and MLP of the same
layer, the stream below, sites of layers far apart. Tokens that are no nodes, markers and attention sinks, are leaves too. No list
of kinds of edges is needed, nor whether attention and MLP run side by side.

A backward pass carries one target for each row of what does not mix. Prompts do not mix. Where no attention lies on the paths into
a site, tokens do not mix either: then as many gradients are enough as nodes are on at one token, whatever their number in all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

from ...session.runner import Runner
from ...session.sites import LAYER_KINDS
from .kept_nodes import Part
from .passes import Values
from .reading import Piece

TOKENS_BACK = 4096
"""Gradients x prompts x tokens of one backward pass."""
ANSWER = "answer"
"""Stands for the metric among the targets; no site has this name."""

Sums = dict[tuple[str, str], torch.Tensor]
"""(Source site, target site) -> [2, targets, sources], float64: effects over the direct path, summed over prompts, and squares."""


@dataclass(frozen=True, eq=False)
class Targets:
    """Functions of the leaves that gradients are taken of: `M` cells of `K`."""

    values: torch.Tensor
    """[M, K]: each node's value times the metric's gradient there"""
    number: torch.Tensor
    """[M, K]: which node it is part of; -1: none, or one that does not move"""
    row: torch.Tensor
    """[M]: which row a cell is in; rows do not mix"""
    token_row: torch.Tensor
    """[C]: which row each token is in"""
    count: int
    """Number of nodes."""


def direct_effects(
    model: Runner, piece: Piece, sites: Sequence[str], parts: Mapping[str, Part], counts: Mapping[str, int]
) -> Sums:
    """Edges between the nodes of some prompts, and into the metric.

    Args:
        sites: all that have a dictionary, in the order of the forward pass.
        parts: the nodes, of the sites that have some.
        counts: how many these are.
    """
    if not piece.at.any():
        return {}
    batch = piece.batch
    seen: Values = {}
    leaves: Values = {}

    def cut(site: str) -> Callable[[torch.Tensor], torch.Tensor]:
        def edit(x: torch.Tensor) -> torch.Tensor:
            seen[site] = x.clone()  # what is read may be overwritten by what is put in
            leaves[site] = x.detach().float().clone().requires_grad_()
            return leaves[site]

        return edit

    def then(values: Values) -> Sums:
        read = values[batch.metric.reads]
        at, prompt = piece.at.flatten().nonzero()[:, 0].to(read.device), piece.row.to(read.device)
        token, each = torch.arange(len(at), device=read.device), torch.arange(len(batch), device=read.device)
        out: Sums = {}

        def add(name: str, targets: Targets, sources: Sequence[str]) -> None:
            with_nodes = {site: leaves[site] for site in sources if site in parts}
            for source, effects in _effects(targets, with_nodes, parts, counts, at, prompt, len(batch)):
                out[source, name] = torch.stack([effects.sum(0), (effects**2).sum(0)]).cpu()

        for index, site in enumerate(sites):
            if site in parts:
                x = seen[site].float().flatten(2).flatten(0, 1).index_select(0, at)
                row = prompt if mixes(model, site, sites[:index]) else token
                add(site, Targets(parts[site].weighted(x), parts[site].moving, row, row, counts[site]), sites[:index])
        metric = batch.metric.measure(model, read, torch.arange(len(batch)))[:, None]
        add(ANSWER, Targets(metric, torch.zeros_like(metric, dtype=torch.long), each, prompt, 1), list(leaves))
        return out

    edit = {site: cut(site) for site in sites}
    found: Sums = model.run(batch.clean.tolist(), [batch.metric.reads], edit=edit, then=then, grad=True)
    return found


def mixes(model: Runner, name: str, cut: Sequence[str]) -> bool:
    """Whether attention may lie on a path into a site that passes none of the sites `cut`, which come before it."""
    site = model.site(name)
    if site.kind == "embed":
        return False
    stop = {"attn_out", "resid_mid"}
    before = [model.site(each) for each in cut]
    last = model.num_layers - 1 if site.layer is None else int(site.layer)
    for layer in range(last, -1, -1):
        reached = site.layer is None or layer < last or site.order[1] >= LAYER_KINDS.index("head_out")
        here = {each.kind for each in before if each.layer == layer and each.unit is None}
        if "resid_post" in here:
            return False
        if reached and not here & stop:
            return True
        if "resid_pre" in here:
            return False
    return False


def _effects(
    targets: Targets,
    leaves: Values,
    parts: Mapping[str, Part],
    counts: Mapping[str, int],
    at: torch.Tensor,
    prompt: torch.Tensor,
    prompts: int,
) -> Iterator[tuple[str, torch.Tensor]]:
    """Source site -> [prompts, targets, sources], float64: the effects of its nodes through each target, of those with a path."""
    tasks = _tasks(targets)
    if not leaves or not len(tasks) or not targets.values.requires_grad:
        return
    found: Values = {}
    step = max(1, TOKENS_BACK // next(iter(leaves.values())).shape[:2].numel())
    for some in tasks.split(step):
        chosen = (some[:, targets.row, None] == targets.number) & (targets.number >= 0)
        gradients = torch.autograd.grad(
            targets.values,
            list(leaves.values()),
            chosen.to(targets.values),
            retain_graph=True,
            allow_unused=True,
            is_grads_batched=True,
        )
        target = some[:, targets.token_row]
        for source, gradient in zip(leaves, gradients, strict=True):
            if gradient is None:
                continue
            effects = parts[source].effects(gradient.flatten(3).flatten(1, 2).index_select(1, at))
            if source not in found:
                found[source] = effects.new_zeros(prompts, targets.count + 1, counts[source] + 1)
            _, rows, columns = found[source].shape
            cell = (prompt * rows + target % rows)[..., None] * columns + parts[source].number % columns
            found[source].view(-1).index_add_(0, cell.flatten(), effects.flatten())
    for source, effects in found.items():
        yield source, effects[:, :-1, :-1].double()


def _tasks(targets: Targets) -> torch.Tensor:
    """[S, rows]: which target each of S gradients takes of each row, -1 for none; each target once in each row that it is in."""
    rows = int(targets.token_row.max()) + 1
    present = torch.zeros(rows, targets.count + 1, dtype=torch.bool, device=targets.number.device)
    present[targets.row[:, None].expand_as(targets.number), targets.number] = True
    present = present[:, :-1]
    most = int(present.sum(1).max())
    order = present.int().sort(dim=1, descending=True, stable=True)
    return torch.where(order.values > 0, order.indices, -1)[:, :most].T
