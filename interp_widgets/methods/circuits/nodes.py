"""Effects of nodes: the atoms of dictionaries and their errors at each token, on one number that the model's answer gives.

Marks et al. (arXiv:2403.19647) write an activation x as the atoms of a dictionary plus what they miss, and take both as nodes. The
effect of a node is what the metric loses when the node, and it alone, gets its value in the corrupt prompt:

    effect = m(clean) - m(clean, node = corrupt value)

attribution             (clean - corrupt value) . gradient at the clean prompt: one pass forward and one back for all nodes
integrated_gradients    the same with the gradient averaged over midpoints of the way between both, all of a site moving together
                        and everything else at clean (Sundararajan et al., arXiv:1703.01365)
exact                   a run for each node

With gradients passed on through the reconstruction and none through the error, the gradient at an atom is that of x along the
atom's direction: see `passes`. So the gradient is taken once, of the unchanged model, and each dictionary is used and dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl
import torch

from ...errors import TextError
from ...frames.circuits import Node
from ...progress import Progress, silent
from ...sae.dictionary import Dictionary
from ...session.session import Session, Text
from ..splicing import resume
from .changed import slope_along
from .dictionaries import Dictionaries, Given, dictionaries_of
from .exact import Wanted, exact_effects
from .prompts import Prompts, Tokens, prompts_of
from .reading import Piece, Reading, parts_of, read_piece
from .run import CircuitRun, Tally, new_run
from .values import SiteValues, effects, site_values

METHODS = ("attribution", "integrated_gradients", "exact")


def circuit(
    model: Session,
    *,
    clean: Text | Sequence[Text],
    corrupt: Text | Sequence[Text] | None = None,
    answer: Tokens | Sequence[Tokens] | None = None,
    foil: Tokens | Sequence[Tokens] | None = None,
    dictionaries: Given = None,
    method: str = "attribution",
    steps: int = 10,
    positions: str = "apart",
    batch: int | None = None,
    progress: Progress = silent,
) -> pl.DataFrame:
    """The effect of every node on the answer, mean over prompts (see `frames.CIRCUIT_NODES`).

    Args:
        model: a session.
        clean, corrupt, answer, foil: prompts and what is measured of them (see `circuits.prompts.prompts_of`): the mean logit of
            the answers less that of the foils. Without corrupt prompts every node is compared with 0.
        dictionaries: whose atoms are the nodes (see `circuits.dictionaries.dictionaries_of`); default the bundled ones of the
            model, else "coordinates".
        method: attribution (default), integrated_gradients or exact.
        steps: midpoints of integrated gradients.
        positions: "apart" (default): a node is at one position of all prompts, which then have one length; "summed": it is at all.
        batch: prompts in one pass; default as many as make 512 tokens.
        progress: called at each site with what is known so far, a `circuits.run.CircuitRun`.

    Raises:
        TextError, AlignmentError: bad prompts, answers or foils, prompts of several lengths with positions apart, or a method that
            is not known.
        DictionaryError, SiteError: dictionaries that do not fit the model.
    """
    check_choices(method, steps, positions)
    prompts, found = prompts_of(model, clean, corrupt, answer, foil), dictionaries_of(model, dictionaries)
    run = run_circuit(
        model, prompts, found, method=method, steps=steps, positions=positions, batch=batch, progress=progress
    )
    return run.frame()


def check_choices(method: str, steps: int, positions: str) -> None:
    """Raises TextError unless they are known."""
    if method not in METHODS:
        raise TextError(f"The method of a circuit is {', '.join(METHODS)}, not {method!r}.")
    if steps < 1:
        raise TextError(f"steps must be 1 or more, not {steps}.")
    if positions not in ("apart", "summed"):
        raise TextError(f'positions must be "apart" or "summed", not {positions!r}.')


def run_circuit(
    model: Session,
    prompts: Prompts,
    dictionaries: Dictionaries,
    *,
    method: str = "attribution",
    steps: int = 10,
    positions: str = "apart",
    batch: int | None = None,
    only: Sequence[Node] | None = None,
    progress: Progress = silent,
) -> CircuitRun:
    """The measurement behind `circuit`. `only`: of exact effects those of some nodes, others of their sites counting as 0."""
    apart = positions == "apart"
    if apart and prompts.length is None:
        raise TextError(
            "The prompts have different lengths, so their positions are not the same ones. Give prompts of one length, or "
            'positions="summed".'
        )
    wanted = None if only is None else _by_site(only)
    sites = [site for site in dictionaries if wanted is None or site in wanted]
    run = new_run(model, prompts, sites, method, positions)
    for part in parts_of(model, prompts, sites, apart=apart, batch=batch):
        readings = []
        for piece in part:
            progress(run.done, prompts.count, "reading the prompts", run)
            readings.append(model.work(read_piece, piece, sites, method == "attribution"))
            run.note(piece, readings[-1])
        prompts_here = sum(len(piece.batch) for piece in part)
        for index, site in enumerate(sites):
            done, of_all = run.done * len(sites) + index * prompts_here, prompts.count * len(sites)
            sae = dictionaries[site]
            for piece, reading in zip(part, readings, strict=True):
                progress(done, of_all, site, run)
                done += len(piece.batch)
                chosen = None if wanted is None else wanted[site]
                _add(model, run, site, sae, piece, reading, steps, chosen, _at(progress, done, of_all, run))
        run.done += prompts_here
    progress(prompts.count * len(sites), prompts.count * len(sites), "", run)
    return run


def _add(
    model: Session, run: CircuitRun, site: str, sae: Dictionary, piece: Piece, reading: Reading, steps: int,
    only: Sequence[Node] | None, progress: Progress,
) -> None:  # fmt: skip
    """The nodes of a site in some prompts, into the sums."""
    whole = reading.clean.pop(site)
    x = whole[piece.at.to(whole.device)]
    y = None if reading.corrupt is None else reading.corrupt.pop(site)
    sae = sae if sae.W_enc.device == x.device else sae.to(x.device)
    values = site_values(sae, x, y)
    if run.method == "attribution":
        found = effects(sae, values, reading.gradient.pop(site))
    elif run.method == "exact":
        apart, base = run.positions == "apart", reading.streams[resume(model, site).base]
        wanted = None if only is None else _among(only, piece, sae.width, apart)
        found = exact_effects(
            model, piece, site, sae, values, reading.metric, whole, base, apart=apart, wanted=wanted, progress=progress
        )
    else:
        start, base = sae.bias(x) if y is None else y, reading.streams[resume(model, site).base]
        gradient, changed = model.work(slope_along, piece, site, whole, base, start, steps)
        found = effects(sae, values, gradient)
        left = (reading.metric - changed).sum() - found[0].sum() - found[1].sum()
        run.residual[site] = run.residual.get(site, 0.0) + float(left) / run.prompts.count
    tally(run, site, sae.width, piece, values, *found)


def _by_site(nodes: Sequence[Node]) -> dict[str, list[Node]]:
    found: dict[str, list[Node]] = {}
    for node in nodes:
        found.setdefault(node.site, []).append(node)
    return found


def _among(nodes: Sequence[Node], piece: Piece, width: int, apart: bool) -> Wanted:
    """Whether entries, by token and unit, are of one of these nodes."""
    names = {
        ((node.position or 0) if apart else 0) * (width + 1) + (width if node.atom is None else node.atom)
        for node in nodes
    }
    keys = torch.tensor(sorted(names))

    def wanted(token: torch.Tensor, unit: torch.Tensor) -> torch.Tensor:
        position = piece.position.to(token.device)[token] if apart else torch.zeros_like(token)
        return torch.isin(position * (width + 1) + unit, keys.to(token.device))

    return wanted


def _at(progress: Progress, begin: int, of_all: int, run: CircuitRun) -> Progress:
    """The progress of runs at one site, which does not count them."""

    def inner(done: int, total: int, message: str = "", partial: Any = None) -> None:
        progress(begin, of_all, f"{message}: run {done} of {total}" if total else message, run)

    return inner


def tally(
    run: CircuitRun, site: str, width: int, piece: Piece, values: SiteValues, atoms: torch.Tensor, errors: torch.Tensor
) -> None:
    """Effects of atoms [E] and errors [C], into the sums."""
    into = run.found.setdefault(site, Tally(width))
    token = torch.cat([values.token.cpu(), torch.arange(len(piece.position))])
    unit = torch.cat([values.atom.cpu(), torch.full_like(piece.position, width)])
    key = piece.position[token] * (width + 1) + unit if run.positions == "apart" else unit
    differs = torch.cat([values.change != 0, (values.error != 0).any(-1)])
    numbers = [
        torch.cat([atoms, errors]),
        torch.cat([values.clean, values.error_clean]),
        torch.cat([values.corrupt, values.error_corrupt]),
        differs,
    ]
    into.add(piece.prompt[token], key, torch.stack([each.double().cpu() for each in numbers]))
