"""SHIFT beside the way of the paper's code (Marks et al., arXiv:2403.19647), restated with plain hooks, and its passes alone.

As its description and code go: effects are taken one text and one site at a time, each step of integrated gradients a pass of the
whole model with a dictionary's features and error in place of the activation; a strike is a pass of the whole model over all texts
with a hook at each struck site. Ours takes texts and steps together and goes on from the stream below the site. Effects and
what the probe reads are asserted to be equal. Both fit probes in the same way, so this is left out of both but in `compare`, where
it belongs to ours alone.

"Passes alone": the layers from a site to the probe's, bare torch without gradient, on as many rows as ours, with no dictionary.
Times are of the processor.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

import interp_widgets as iw
from interp_widgets.lab.biographies import toy_biographies
from interp_widgets.methods.shift_conditions import Struck, compared, struck_atoms
from interp_widgets.methods.shift_passes import TOKENS_AT_ONCE, Batch, ShiftReading, some_texts, without
from interp_widgets.methods.shift_run import ShiftRun, prepare_shift, run_effects
from interp_widgets.sae.baselines import identity
from interp_widgets.sae.dictionary import Dictionary
from tests.benchmarks import measure

SITE, SPLITS = "resid_post.1", ("ambiguous", "test", "balanced")
KINDS = {"attn_out": "self_attn", "mlp_out": "mlp", "resid_post": ""}
TEXTS, STEPS, DRAWS, STRUCK = 40, 10, 5, 10


@contextmanager
def hooked(module: Any, edits: dict[str, Callable[[torch.Tensor], torch.Tensor | None]]) -> Iterator[None]:
    """What leaves some sites is what an edit makes of it."""
    handles = []
    for site, edit in edits.items():
        kind, _, layer = site.partition(".")

        def hook(_: Any, __: Any, out: Any, edit: Any = edit) -> Any:
            x = out[0] if isinstance(out, tuple) else out
            y = edit(x)
            return None if y is None else (y, *out[1:]) if isinstance(out, tuple) else y

        handles.append(
            module.get_submodule(f"model.layers.{layer}.{KINDS[kind]}".rstrip(".")).register_forward_hook(hook)
        )
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def seen(module: Any, ids: torch.Tensor, edits: dict[str, Any], site: str) -> torch.Tensor:
    """The activation at a site, in a pass of the whole model."""
    found: dict[str, torch.Tensor] = {}

    def look(x: torch.Tensor) -> None:
        found["x"] = x

    with hooked(module, edits), hooked(module, {site: look}):
        module(input_ids=ids)
    return found["x"]


def theirs_effects(module: Any, run: ShiftRun, split: str, by: str, saes: Sequence[Dictionary]) -> list[torch.Tensor]:
    """[texts, atoms] of each dictionary."""
    right = getattr(run.data.splits[split], by)
    rows: list[list[torch.Tensor]] = [[] for _ in saes]
    counts = {t: c for b in run.readings[split].batches for t, c in zip(b.texts, b.counts, strict=True)}
    for text, ids in enumerate(run.data.splits[split].ids[:TEXTS]):
        at, one = counts[text][: len(ids)], torch.tensor([ids])
        sign = 1.0 if right[text] else -1.0
        for place, sae in enumerate(saes):
            with torch.no_grad():
                x = seen(module, one, {}, sae.site)[0].float()
                f = sae.encode(x)
                e = x - sae.decode(f, x)
            total = torch.zeros_like(f)
            for step in range(STEPS):
                alpha = (step + 0.5) / STEPS
                acts, error = (alpha * f).requires_grad_(), (alpha * e).requires_grad_()

                def put(
                    x: torch.Tensor, sae: Any = sae, acts: Any = acts, error: Any = error, at: Any = at
                ) -> torch.Tensor:
                    return torch.where(at[:, None], sae.decode(acts, x[0]) + error, x[0])[None]

                pooled = seen(module, one, {sae.site: put}, run.probe.site)[0][at].mean(0)
                total += torch.autograd.grad(sign * (pooled @ run.probe.weights), [acts, error])[0]
            rows[place].append((f * total / STEPS)[at].sum(0))
    return [torch.stack(each) for each in rows]


def theirs_without(module: Any, reading: ShiftReading, struck: Struck) -> torch.Tensor:
    """[N, d]: what the probe reads with the struck atoms at zero."""
    out: dict[int, torch.Tensor] = {}
    for batch in reading.batches:

        def strike(x: torch.Tensor, sae: Any, atoms: Any, at: Any = batch.counts[..., None]) -> torch.Tensor:
            f = sae.encode(x)
            error = x - sae.decode(f, x)
            f[..., atoms] = 0
            return torch.where(at, sae.decode(f, x) + error, x)

        edits = {s.site: lambda x, s=s, atoms=atoms, strike=strike: strike(x, s, atoms) for s, atoms in struck if atoms}
        with torch.no_grad():
            x = seen(module, batch.ids, edits, reading.site)
        weights = batch.counts / batch.counts.sum(1, keepdim=True)
        out |= dict(zip(batch.texts, torch.einsum("wtd,wt->wd", x, weights), strict=True))
    return torch.stack([out[text] for text in range(len(out))])


class Floor:
    """The layers from one on to the probe's, on rows that hold anything."""

    def __init__(self, module: Any, site: str) -> None:
        self.last, self.parts, self.module = int(site.partition(".")[2]), dict[int, Any](), module

    def passes(self, first: int, batch: Batch, times: int) -> None:
        """`times` passes of a batch, as many at once as ours."""
        if first > self.last:
            return
        if first not in self.parts:
            part = copy.deepcopy(self.module.model)
            part.layers = part.layers[first : self.last + 1]
            for index, layer in enumerate(part.layers):
                layer.self_attn.layer_idx = index
            self.parts[first] = part.eval()
        together = max(1, TOKENS_AT_ONCE // batch.ids.numel())
        for begin in range(0, times, together):
            rows = len(batch.ids) * len(range(begin, min(times, begin + together)))
            with torch.no_grad():
                self.parts[first](inputs_embeds=torch.zeros(rows, batch.ids.shape[1], 128), use_cache=False)

    def effects(self, reading: ShiftReading, saes: Sequence[Dictionary], steps: int = STEPS) -> None:
        for sae in saes:
            kind, _, layer = sae.site.partition(".")
            for batch in some_texts(reading, TEXTS).batches:
                self.passes(int(layer) + (kind == "resid_post"), batch, steps)

    def strike(self, run: ShiftRun) -> None:
        for split in ("test", "ambiguous"):
            for batch in run.readings[split].batches:
                self.passes(0, batch, 1)

    def compare(self, run: ShiftRun) -> None:
        self.effects(run.readings["ambiguous"], run.dictionaries, 1)
        self.effects(run.readings["balanced"], run.dictionaries)
        self.effects(run.readings["balanced"], run.dictionaries)
        for _ in range(DRAWS + 2):
            self.strike(run)


def main() -> None:
    measure.one_thread()
    model = iw.load("toy-grammar")
    module = model.torch_module
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    saes = [iw.load_sae(f"toy-grammar/{kind}.{layer}") for layer in (0, 1) for kind in KINDS]
    data = toy_biographies(train=120, test=200)
    run = prepare_shift(model, data, site=SITE, dictionaries=saes, splits=SPLITS, l2=1e-3)
    floor, bases = Floor(module, SITE), [identity(model, sae.site) for sae in run.dictionaries]

    def effects() -> list[torch.Tensor]:
        return [each.atoms for each in run_effects(model, run, "ambiguous", "label", texts=TEXTS, steps=STEPS)]

    ranked = [
        (float(v), f"{sae.site}/{i}")
        for sae, of in zip(run.dictionaries, effects(), strict=True)
        for i, v in enumerate(of.mean(0))
    ]
    struck = struck_atoms(run.dictionaries, [name for _, name in sorted(ranked)[-STRUCK:]])

    def their_effects() -> list[torch.Tensor]:
        return theirs_effects(module, run, "ambiguous", "label", run.dictionaries)

    def strike() -> list[torch.Tensor]:
        return [without(model, run.readings[split], struck) for split in ("test", "ambiguous")]

    def their_strike() -> list[torch.Tensor]:
        return [theirs_without(module, run.readings[split], struck) for split in ("test", "ambiguous")]

    def compare() -> None:
        compared(model, run, struck, draws=DRAWS, texts=TEXTS, steps=STEPS, seed=0)

    def their_compare() -> None:
        theirs_effects(module, run, "balanced", "spurious", run.dictionaries)
        theirs_effects(module, run, "balanced", "spurious", bases)
        for _ in range(DRAWS + 2):
            their_strike()

    rows = []
    for name, ours, theirs, alone, rounds in (
        ("effects", effects, their_effects, lambda: floor.effects(run.readings["ambiguous"], run.dictionaries), 2),
        ("a strike", strike, their_strike, lambda: floor.strike(run), 5),
        ("compare", compare, their_compare, lambda: floor.compare(run), 1),
    ):
        same = ""
        if name != "compare":
            pairs = list(zip(ours(), theirs(), strict=True))
            worst, top = (
                max(float(each.abs().max()) for each in some)
                for some in ([a - b for a, b in pairs], [b for _, b in pairs])
            )
            assert worst < 1e-3 * max(1.0, top), (worst, top)
            same = f"{worst:.0e}"
        alone()
        times = measure.in_turn(
            {"ours": ours, "theirs": theirs, "alone": alone}, rounds, clock=time.process_time, warm=True
        )
        ratios = [measure.ratio(times[a], times[b]).median for a, b in (("theirs", "ours"), ("ours", "alone"))]
        rows.append(
            [name, *(measure.ms(times[each].median) for each in times), *(f"{ratio:.1f}" for ratio in ratios), same]
        )
    header = ["", "ours", "the paper's way", "passes alone", "its over ours", "ours over passes", "largest difference"]
    measure.report(
        f"SHIFT on toy-grammar, {len(saes)} dictionaries, effects of {TEXTS} texts in {STEPS} steps", header, rows
    )
    print(f"\n{measure.machine()}")


if __name__ == "__main__":
    main()
