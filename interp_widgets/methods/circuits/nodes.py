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

import polars as pl
import torch

from ...errors import TextError
from ...progress import Progress, silent
from ...sae.dictionary import Dictionary
from ...session.session import Session, Text
from .dictionaries import Dictionaries, Given, dictionaries_of
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
    progress: Progress = silent,
) -> CircuitRun:
    """The measurement behind `circuit`."""
    apart = positions == "apart"
    if apart and prompts.length is None:
        raise TextError(
            "The prompts have different lengths, so their positions are not the same ones. Give prompts of one length, or "
            'positions="summed".'
        )
    sites = list(dictionaries)
    run = new_run(model, prompts, sites, method, positions)
    run.metric = torch.zeros(prompts.count, dtype=torch.float64)
    if prompts.batches[0].corrupt is not None:
        run.corrupt_metric = torch.zeros(prompts.count, dtype=torch.float64)
    for part in parts_of(model, prompts, sites, apart=apart, batch=batch):
        readings = []
        for piece in part:
            progress(run.done, prompts.count, "reading the prompts", run)
            readings.append(model.work(read_piece, piece, sites, method == "attribution"))
            _note(run, piece, readings[-1])
        for index, site in enumerate(sites):
            progress(
                run.done * len(sites) + index * sum(len(piece.batch) for piece in part),
                prompts.count * len(sites),
                site,
                run,
            )
            sae = dictionaries[site]
            for piece, reading in zip(part, readings, strict=True):
                _add(run, site, sae, piece, reading)
        run.done += sum(len(piece.batch) for piece in part)
    progress(1, 1, "", run)
    return run


def _note(run: CircuitRun, piece: Piece, reading: Reading) -> None:
    run.metric[piece.batch.rows] = reading.metric
    if run.corrupt_metric is not None and reading.corrupt_metric is not None:
        run.corrupt_metric[piece.batch.rows] = reading.corrupt_metric


def _add(run: CircuitRun, site: str, sae: Dictionary, piece: Piece, reading: Reading) -> None:
    """The nodes of a site in some prompts, into the sums."""
    x = reading.clean.pop(site)
    y = None if reading.corrupt is None else reading.corrupt.pop(site)
    sae = sae if sae.W_enc.device == x.device else sae.to(x.device)
    values = site_values(sae, x, y)
    atoms, errors = effects(sae, values, reading.gradient.pop(site))
    tally(run, site, sae.width, piece, values, atoms, errors)


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
