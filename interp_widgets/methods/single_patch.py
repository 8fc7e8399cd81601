"""One patch, anywhere: any site and position of one run into any site and position of the other, and what is then said.

Beside the cells of a grid, which put an activation where it came from, this moves it (to another position or layer), can hold
positions as they were ("frozen"), and lets every run go on for some tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import polars as pl

from .. import frames
from ..errors import AlignmentError, SiteError, TextError
from ..progress import Progress, silent
from ..session.runner import Runner
from ..session.session import Session, Text
from ..session.sites import Site
from .activation_patching import check_patchable
from .choices import columns_of, encode_both
from .continuation import said
from .patched_runs import Patch, Put
from .patching_plan import Plan, open_run, plan_run
from .patching_run import PatchingRun, patching_frame
from .prediction import check_metric
from .reading import Output, Reading, read_both
from .sweep import in_batches

Place = tuple[str, int]
"""A site and a position, such as ("resid_post.10", 3)."""


def single_patch(
    model: Session,
    *,
    clean: Text,
    corrupt: Text,
    source: Place,
    target: Place | None = None,
    frozen: Sequence[int] = (),
    answer: str | int | None = None,
    foil: str | int | None = None,
    metric: str = "logit_difference",
    direction: str = "denoise",
) -> pl.DataFrame:
    """The exact effect of one patch: one row of `frames.PATCHING`, site and position being the target's.

    Args:
        model, clean, corrupt, answer, foil, metric, direction: as in `activation_patching`.
        source: (site, position) in the clean prompt (to noise: in the corrupt one), whose activation is put in.
        target: (site, position) in the other prompt, where it goes; default as the source.
        frozen: positions of the patched prompt whose stream is held as it was after every layer from the target on, so that the
            effect cannot pass there.

    Raises:
        SiteError: sites that do not exist or hold activations of different size. TextError, AlignmentError: as in
            `activation_patching`; also positions that do not exist.
    """
    check_metric(metric)
    plan, held = plan_single(model, clean, corrupt, source, target, frozen, answer, foil, direction)
    run = open_run(model, plan)
    run.work(model, fill_single, held)
    return patching_frame(run, metric)


def continuations(
    model: Session,
    *,
    clean: Text,
    corrupt: Text,
    source: Place,
    target: Place | None = None,
    frozen: Sequence[int] = (),
    direction: str = "denoise",
    tokens: int = 10,
) -> pl.DataFrame:
    """What the clean, the corrupt and the patched run say next, likeliest token by token (see `frames.CONTINUATIONS`).

    Args:
        model, clean, corrupt, source, target, frozen, direction: as in `single_patch`.
        tokens: how many, default 10.

    Raises:
        as `single_patch`; TextError also for fewer than one token.
    """
    if tokens < 1:
        raise TextError(f"A continuation has at least one token, not {tokens}.")
    unmeasured = 0, 1  # answer and foil: any two tokens will do
    plan, held = plan_single(model, clean, corrupt, source, target, frozen, *unmeasured, direction)
    found = say_next(model, open_run(model, plan), held, tokens, ("clean", "corrupt", "patched"))
    out = [(name, step, i, model.text_of(i), p) for name, steps in found.items() for step, (i, p) in enumerate(steps)]
    columns = dict(zip(frames.CONTINUATIONS, zip(*out, strict=True), strict=True))
    return frames.build(frames.CONTINUATIONS, columns)


def plan_single(
    model: Session,
    clean: Text,
    corrupt: Text,
    source: Place,
    target: Place | None,
    frozen: Sequence[int],
    answer: str | int | None,
    foil: str | int | None,
    direction: str = "denoise",
) -> tuple[Plan, list[int]]:
    """What a grid of one cell will run, and the positions that are held."""
    target = target or source
    from_, to = (model.site(place[0]) for place in (source, target))
    for site in (from_, to):
        check_patchable(site)
    ids, prompt = encode_both(model, clean, corrupt, direction)
    [at] = columns_of([target[1]], len(prompt))
    begin = source[1] + len(ids) if source[1] < 0 else source[1]
    if not 0 <= begin < len(ids):
        raise AlignmentError(
            f"{source[1]} is no position of the prompt it comes from: that has positions 0 to {len(ids) - 1}."
        )
    held = sorted({p for span in columns_of(list(frozen), len(prompt)) for p in span})

    def read(model: Runner) -> tuple[Reading, Output]:
        (values, ended), reading = read_both(model, ids, prompt, list(dict.fromkeys([from_, to])))
        value = values[from_][begin]
        if value.shape != reading.own[to][0].shape:
            raise SiteError(
                f"{from_} holds {tuple(value.shape)} numbers a position and {to} {tuple(reading.own[to][0].shape)}: "
                "an activation fits only a site of the same size."
            )
        put = reading.own[to].clone()
        put[at[0]] = value
        return replace(reading, put=[{to: put}]), ended

    first, second = ("source", "prompt") if direction == "denoise" else ("prompt", "source")
    plan = plan_run(
        model,
        read,
        (ids, prompt),
        [(begin, at[0])],
        [(to,)],
        [at],
        (answer, foil),
        ((first, 0), (second, 0)),
        [],
        direction,
    )
    return plan, held


def fill_single(model: Runner, run: PatchingRun, held: Sequence[int], *, progress: Progress = silent) -> None:
    """The one cell of a run."""
    reading = run.reading = run.reading or run.read(model)[0]
    patch = _patch(model, run, reading, held)
    run.fill([0], [0], in_batches(model, run, reading, [patch], continued=bool(reading.kept)))


def say_next(
    model: Session,
    run: PatchingRun,
    held: Sequence[int],
    tokens: int,
    names: Sequence[str],
    progress: Progress = silent,
) -> dict[str, list[tuple[int, float]]]:
    """What some of the clean, the corrupt and the patched run say next: token id and probability of each step."""
    ids = run.source["token_id"].to_list(), run.prompt["token_id"].to_list()
    sides = dict(zip(("clean", "corrupt"), ids if run.direction == "denoise" else ids[::-1], strict=True))
    prompts = {name: sides.get(name, ids[1]) for name in names}
    return model.work(_say, run.bare(model), held, prompts, tokens, progress=progress)


def _say(
    model: Runner,
    run: PatchingRun,
    held: Sequence[int],
    prompts: Mapping[str, list[int]],
    tokens: int,
    progress: Progress = silent,
) -> dict[str, list[tuple[int, float]]]:
    out = {}
    for done, (name, ids) in enumerate(prompts.items()):
        progress(done, len(prompts), f"{name} run goes on")
        patch = []
        if name == "patched":
            run.reading = run.reading or run.read(model)[0]
            patch = _patch(model, run, run.reading, held)
        out[name] = said(model, ids, patch, tokens)
    return out


def _patch(model: Runner, run: PatchingRun, reading: Reading, held: Sequence[int]) -> Patch:
    """What fills the one cell of a run, with positions held as they were."""
    [(to,)], [[at]] = run.rows, run.columns
    return [Put(to, [at], reading.put[0][to][at][None]), *_held(reading, to, at, held, model.num_layers)]


def _held(reading: Reading, target: Site, at: int, positions: Sequence[int], layers: int) -> Patch:
    """Streams put back to what they were, after every layer that the patch could have changed them in."""
    first = int(target.layer or 0) + (target.kind == "resid_post")
    kept = [p for p in positions if p >= at]  # nothing before the patch changes
    streams = [(layer, reading.streams[layer + 1][kept]) for layer in range(first, layers)] if kept else []
    return [Put(Site("resid_post", layer), kept, stream) for layer, stream in streams]
