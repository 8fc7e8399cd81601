"""Node effects beside the method of the paper's code (Marks et al., arXiv:2403.19647), restated naively after its loops.

As its description and code go: every dictionary is in the forward pass and autograd differentiates with respect to its dense
features and its error, the gradient through its encoder being computed and overwritten; a second pass reads those of the patch
prompts; integrated gradients take, for each activation, one pass of the whole model with a row of the batch for each step. The code
itself is for an older nnsight, so it is restated on the one here. The same pairs and dictionaries, in one process, in turn; the
effects, at the same points of the way, are asserted to be equal. Times are of the processor.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch

import interp_widgets as iw
from interp_widgets.lab import prompts as known
from interp_widgets.methods.circuits.dictionaries import dictionaries_of
from interp_widgets.methods.circuits.nodes import run_circuit
from interp_widgets.methods.circuits.prompts import Prompts, prompts_of
from interp_widgets.methods.circuits.run import CircuitRun
from interp_widgets.sae.dictionary import Dictionary, TopK
from tests.benchmarks import measure
from tests.benchmarks.patching_memory import forget_peak, resident

STEPS = 10
Nodes = dict[str, tuple[torch.Tensor, torch.Tensor]]
"""Site -> of atoms [n, T, width] and errors [n, T, d], or [n, T] where they are effects."""


def states(model: Any, ids: torch.Tensor, dictionaries: Mapping[str, Dictionary]) -> Nodes:
    """Features and errors of a pass without gradients."""

    def then(values: Mapping[str, torch.Tensor]) -> Nodes:
        found = {}
        for site, sae in dictionaries.items():
            f = sae.encode(values[site])
            found[site] = (f, values[site] - sae.decode(f))
        return found

    return model.run(ids.tolist(), [*dictionaries, "logits"], then=then)


def metric(logits: torch.Tensor, prompts: Prompts) -> torch.Tensor:
    answers, foils = (torch.tensor(each) for each in (prompts.answers, prompts.foils))
    return logits[:, -1].gather(1, answers)[:, 0] - logits[:, -1].gather(1, foils)[:, 0]


class Passed(torch.autograd.Function):
    """x_recon in the place of x: its gradient is that of x, and what comes to x through the encoder is dropped."""

    @staticmethod
    def forward(_: Any, x: torch.Tensor, recon: torch.Tensor) -> torch.Tensor:
        return recon.clone()

    @staticmethod
    def backward(_: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return gradient, gradient


class Dropped(torch.autograd.Function):
    """x as the encoder reads it: the gradient is computed, then overwritten."""

    @staticmethod
    def forward(_: Any, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def backward(_: Any, gradient: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(gradient)


def attribution(model: Any, prompts: Prompts, dictionaries: Mapping[str, Dictionary]) -> Nodes:
    batch, leaves = prompts.batches[0], {}

    def splice(site: str, sae: Dictionary) -> Any:
        def edit(x: torch.Tensor) -> torch.Tensor:
            x = x if x.requires_grad else x.detach().requires_grad_()
            f = sae.encode(Dropped.apply(x))
            x_hat = sae.decode(f)
            e = (x - x_hat).detach().requires_grad_()
            leaves[site] = (f, e)
            return Passed.apply(x, x_hat + e)

        return edit

    def then(values: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
        wanted = [leaf for pair in leaves.values() for leaf in pair]
        return list(torch.autograd.grad(metric(values["logits"], prompts).sum(), wanted))

    edits = {site: splice(site, sae) for site, sae in dictionaries.items()}
    slopes = model.run(batch.clean.tolist(), ["logits"], edit=edits, then=then, grad=True)
    theirs = states(model, batch.corrupt, dictionaries)
    return {
        site: (
            (f.detach() - theirs[site][0]) * slopes[2 * i],
            ((e.detach() - theirs[site][1]) * slopes[2 * i + 1]).sum(-1),
        )
        for i, (site, (f, e)) in enumerate(leaves.items())
    }


def integrated(model: Any, prompts: Prompts, dictionaries: Mapping[str, Dictionary], points: Sequence[float]) -> Nodes:
    batch, count = prompts.batches[0], len(prompts.batches[0])
    mine, theirs = states(model, batch.clean, dictionaries), states(model, batch.corrupt, dictionaries)
    ids, found = batch.clean.repeat(len(points), 1), {}
    for site, sae in dictionaries.items():
        (f, e), (other_f, other_e) = mine[site], theirs[site]
        acts = torch.cat([(1 - alpha) * f + alpha * other_f for alpha in points]).requires_grad_()
        errors = torch.cat([(1 - alpha) * e + alpha * other_e for alpha in points]).requires_grad_()

        def edit(_: torch.Tensor, sae: Any = sae, acts: Any = acts, errors: Any = errors) -> torch.Tensor:
            return sae.decode(acts) + errors

        def then(values: Mapping[str, torch.Tensor], acts: Any = acts, errors: Any = errors) -> Any:
            logits = values["logits"].unflatten(0, (len(points), count))
            return torch.autograd.grad(sum(metric(each, prompts).sum() for each in logits), [acts, errors])

        slopes = model.run(ids.tolist(), ["logits"], edit={site: edit}, then=then, grad=True)
        means = [slope.unflatten(0, (len(points), count)).mean(0) for slope in slopes]
        found[site] = (f - other_f) * means[0], ((e - other_e) * means[1]).sum(-1)
    return found


def largest_difference(run: CircuitRun, nodes: Nodes, prompts: Prompts) -> tuple[float, float]:
    """Of the mean effects at positions that count, and the largest effect."""
    worst = top = 0.0
    counted = prompts.batches[0].counted.all(0)
    for site, (atoms, errors) in nodes.items():
        theirs = torch.cat([atoms, errors[..., None]], -1).double().mean(0)
        ours, tally = torch.zeros_like(theirs), run.found[site]
        ours[tally.position, tally.unit] = tally.sums[0] / prompts.count
        worst = max(worst, float((ours - theirs)[counted].abs().max()))
        top = max(top, float(theirs[counted].abs().max()))
    return worst, top


def peak(work: Any) -> float:
    """Bytes above what was there before."""
    gc.collect()
    before = resident()
    forget_peak()
    work()
    return resident("VmHWM") - before


def random_dictionaries(sites: Sequence[str], width: int) -> dict[str, Dictionary]:
    """TopK ones of three sets of weights, which do not fit into a cache."""
    sets = []
    for seed in range(3):
        decoder = torch.nn.functional.normalize(
            torch.randn(width, 576, generator=torch.Generator().manual_seed(seed)), dim=1
        )
        sets.append((decoder.T.contiguous(), torch.zeros(width), decoder, torch.zeros(576)))
    return {site: TopK(f"random {i}", site, *sets[i % 3], k=32) for i, site in enumerate(sites)}


def toy_pairs(count: int) -> dict[str, list[str]]:
    names = [
        "mary",
        "john",
        "anna",
        "tom",
        "sarah",
        "paul",
        "david",
        "alice",
        "peter",
        "jane",
        "helen",
        "robert",
        "frank",
        "grace",
    ]
    both = [(a, b) for a in names for b in names if a != b][:count]
    start = [f"when {a} and {b} went to the store ," for a, b in both]
    return {
        "clean": [f"{s} {b} gave a drink to" for s, (_, b) in zip(start, both, strict=True)],
        "corrupt": [f"{s} {a} gave a drink to" for s, (a, _) in zip(start, both, strict=True)],
        "answer": [a for a, _ in both],
        "foil": [b for _, b in both],
    }


def compare(model: Any, pairs: dict[str, list[str]], given: Any, method: str, rounds: int) -> list[object]:
    """The cells of one row of the table."""
    prompts, dictionaries = prompts_of(model, **pairs), dictionaries_of(model, given)
    kept = dict(dictionaries)
    midpoints = [(step + 0.5) / STEPS for step in range(STEPS)]

    def theirs() -> Nodes:
        return (
            attribution(model, prompts, kept)
            if method == "attribution"
            else integrated(model, prompts, kept, midpoints)
        )

    def ours() -> CircuitRun:
        return run_circuit(model, prompts, dictionaries, method=method, steps=STEPS)

    worst, top = largest_difference(ours(), theirs(), prompts)
    assert worst < 1e-3 * max(1.0, top), (worst, top)
    memory = peak(ours), peak(theirs)
    times = measure.in_turn({"ours": ours, "theirs": theirs}, rounds, clock=time.process_time, warm=True)
    ratio = measure.ratio(times["theirs"], times["ours"])
    return [
        len(kept), prompts.count, prompts.length,
        *(measure.ms(times[name].median) for name in ("ours", "theirs")),
        f"{ratio.median:.1f} ({min(ratio.rounds):.1f} to {max(ratio.rounds):.1f})",
        *(f"{each / 2**20:.0f} MiB" for each in memory), f"{worst:.0e}",
    ]  # fmt: skip


def compare_accuracy(model: Any, pairs: dict[str, list[str]], given: Any, steps: int, rounds: int) -> list[object]:
    """Integrated gradients at fewer midpoints against the code's ten left points: what each misses, and time."""
    prompts, dictionaries = prompts_of(model, **pairs), dictionaries_of(model, given)
    kept, counted = dict(dictionaries), prompts.batches[0].counted
    left = [step / STEPS for step in range(STEPS)]

    def ours() -> CircuitRun:
        return run_circuit(model, prompts, dictionaries, method="integrated_gradients", steps=steps)

    run, nodes = ours(), integrated(model, prompts, kept, left)
    whole = {site: run.residual[site] + float(run.found[site].sums[0].sum()) / prompts.count for site in kept}
    theirs = {site: float((a.sum(-1) + e)[counted].sum()) / prompts.count for site, (a, e) in nodes.items()}
    missed = sum(map(abs, run.residual.values())), sum(abs(whole[site] - theirs[site]) for site in kept)
    size = sum(map(abs, whole.values()))
    times = measure.in_turn(
        {"ours": ours, "theirs": lambda: integrated(model, prompts, kept, left)},
        rounds,
        clock=time.process_time,
        warm=True,
    )
    ratio = measure.ratio(times["theirs"], times["ours"])
    return [
        len(kept), prompts.count, steps, *(f"{each / size:.2%}" for each in missed),
        *(measure.ms(times[name].median) for name in ("ours", "theirs")), f"{ratio.median:.1f}",
    ]  # fmt: skip


def main() -> None:
    measure.one_thread()
    header = [
        "",
        "sites",
        "pairs",
        "tokens",
        "ours",
        "paper's method",
        "ratio",
        "our peak",
        "its peak",
        "largest difference",
    ]
    toy = iw.load("toy-grammar")
    rows = []
    for method in ("attribution", "integrated_gradients"):
        for count in (1, 48):
            rows.append([f"toy-grammar, {method}", *compare(toy, toy_pairs(count), None, method, 2)])
    smol = iw.load("smollm2-135m")
    sites = ["embed", *(f"{kind}.{layer}" for layer in range(30) for kind in ("attn_out", "mlp_out", "resid_post"))]
    every = random_dictionaries(sites, 8192)
    for count in (1, 16):
        pairs = known.agreement(48)[:count].to_dict(as_series=False)
        rows.append(["SmolLM2, 8192 atoms, attribution", *compare(smol, pairs, every, "attribution", 1)])
    some = {site: every[site] for site in sites[::9]}
    pairs = known.agreement(48)[:1].to_dict(as_series=False)
    rows.append(["SmolLM2, 8192 atoms, integrated_gradients", *compare(smol, pairs, some, "integrated_gradients", 1)])
    measure.report("Node effects against the method of the paper's code", header, rows)
    rows = [
        ["toy-grammar", *compare_accuracy(toy, toy_pairs(count), None, steps, 2)]
        for count, steps in ((1, 4), (1, 6), (12, 4))
    ]
    for count, steps in ((1, 4), (1, 8), (4, 8)):
        pairs = known.agreement(48)[:count].to_dict(as_series=False)
        rows.append(["SmolLM2, 8192 atoms", *compare_accuracy(smol, pairs, some, steps, 1)])
    header = ["", "sites", "pairs", "our points", "we miss", "ten left points miss", "ours", "paper's method", "ratio"]
    measure.report("Integrated gradients at fewer points", header, rows)
    print(f"\n{measure.machine()}")


if __name__ == "__main__":
    main()
