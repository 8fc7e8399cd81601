"""What a cell of an exact sweep costs, against other ways to compute the same number and against the arithmetic.

Whole grids of SmolLM2-135M on an indirect-object pair, every layer and position (and head), also the columns that causality would
spare. The other ways run some cells of each grid, and everything takes turns. With IW_TRANSFORMER_LENS=<python> of an environment
that has TransformerLens, its own patching helpers run there, in turn with the rest. All times are seconds of the processor, of one
thread: what a clock shows where nothing else runs, and what it does not show on a busy machine.

The floor is the arithmetic of the suffix algorithm at the rate of a large matrix product measured in the same rounds. A cell at
layer l, position p costs the layers above l times the positions from p on, and two rows of the unembedding; in layer l itself,
for position p alone, what lies above the site: nothing (resid_post, mlp_out), the MLP (attn_out), or the MLP and the head's part
of the output projection (head_out).
"""

from __future__ import annotations

import importlib
import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.benchmarks import measure

ROUNDS = {"resid_post": 3, "attn_out": 3, "mlp_out": 3, "head_out": 2}
"""Per kind; a round of the head grid takes a minute."""
LAYERS = (0, 14, 28)
"""Layers of the cells that the other ways run; a cell costs them the same in every layer."""
WAYS = {
    "trace": "nnsight, one trace a cell",
    "invokes": "nnsight, a trace a layer, an invoke a position",
    "hook": "one hooked forward pass a cell",
    "rows": "hooks, positions as rows of a batch",
}
PRODUCTS = 50

Cell = tuple[int, int, int]
"""Layer, position, head (only read where the grid has heads)."""


def main() -> None:
    import nnsight
    import polars as pl
    import torch

    import interp_widgets as iw

    measure.one_thread()
    model = iw.load("smollm2-135m")
    module = model.torch_module
    wrapped = nnsight.TransformersModel(module, tokenizer=model.tokenizer, task="text-generation")
    clean, corrupt = model.encode(measure.IOI), model.encode(measure.IOI_CORRUPT)
    layers, heads, length = model.num_layers, model.num_heads, len(corrupt)
    answer, foil = model.single_token(" Mary"), model.single_token(" John")
    method = importlib.import_module("interp_widgets.methods.activation_patching")
    one_by_one = [(layer, p, (layer + p) % heads) for layer in LAYERS for p in range(0, length, 3)]
    by_layer = [[(layer, p, layer % heads) for p in range(length)] for layer in LAYERS]

    def sweep(kind: str = "resid_post"):
        """Logit differences, [layers, heads or 1, positions]."""
        run = method.prepare(model, clean, corrupt, answer, foil, ["head_out.*.*" if kind == "head_out" else kind])
        run.unaffected = []
        method.sweep(model, run)
        return run.cells.logit_difference.unflatten(0, (layers, -1))

    def spared():
        return iw.methods.activation_patching(model, clean=clean, corrupt=corrupt, answer=answer, foil=foil)

    def estimated():
        return iw.methods.attribution_patching(model, clean=clean, corrupt=corrupt, answer=answer, foil=foil)

    def other(way: str, kind: str) -> Callable[[], list[float]]:
        values = activations(module, clean, kind)
        batches = [[cell] for cell in one_by_one] if way in ("trace", "hook") else by_layer

        def run() -> list[float]:
            if way in ("hook", "rows"):
                found = [hooked(module, corrupt, kind, cells, values) for cells in batches]
            else:
                found = [traced(wrapped, nnsight, corrupt, kind, cells, values) for cells in batches]
            logits = torch.cat(found)
            return (logits[:, answer] - logits[:, foil]).tolist()

        return run

    lens = None
    if python := os.environ.get("IW_TRANSFORMER_LENS"):
        cells = {kind: one_by_one for kind in ROUNDS}
        weights = str(Path(str(model.source)).resolve())
        job = {"weights": weights, "clean": clean, "corrupt": corrupt, "answer": answer, "foil": foil, "cells": cells}
        lens = TransformerLens(python, job)

    left, right = torch.randn(1024, 576), torch.randn(576, 1536)

    def product() -> None:
        for _ in range(PRODUCTS):
            left @ right

    calls, head = products_of(module, sweep), module.lm_head.weight
    normed = torch.randn(128, head.shape[1])

    def replayed() -> None:
        for rows, weight in calls:
            rows @ weight.T

    def unembedded() -> None:
        room = None
        for _ in range(layers * length // len(normed)):
            room = torch.mm(normed, head.T, out=room)

    others: dict[tuple[str, str], tuple[str, list[Cell], Callable[[], list[float]]]] = {}
    for kind in ROUNDS:
        for way, what in WAYS.items():
            cells = one_by_one if way in ("trace", "hook") else [cell for batch in by_layer for cell in batch]
            others[way, kind] = what, cells, other(way, kind)
        if lens is not None:
            others["lens", kind] = "TransformerLens, its patching helper", one_by_one, lambda kind=kind: lens.run(kind)
    worst = {"": 0.0, "lens": 0.0}
    for kind in ROUNDS:
        grid = sweep(kind)
        for (way, of), (_, cells, run) in others.items():
            if of == kind:
                mine = [float(grid[layer, head if kind == "head_out" else 0, p]) for layer, p, head in cells]
                off = max(abs(a - b) for a, b in zip(mine, run(), strict=True))
                who = "lens" if way == "lens" else ""
                worst[who] = max(worst[who], off)

    work = PRODUCTS * 2 * left.shape[0] * left.shape[1] * right.shape[1]
    rates: list[float] = []

    def clock() -> float:
        return time.process_time() + (lens.seconds if lens else 0)

    for kind, rounds in ROUNDS.items():
        contestants: dict[object, Callable[[], object]] = {"product": product, kind: lambda kind=kind: sweep(kind)}
        contestants |= {key: run for key, (_, _, run) in others.items() if key[1] == kind}
        if kind == "resid_post":
            contestants |= {"spared": spared, "estimated": estimated, "replayed": replayed, "unembedded": unembedded}
            spared(), estimated(), replayed(), unembedded()
        times = measure.in_turn(contestants, rounds, clock, warm=True)
        rates += [work / seconds for seconds in times["product"].rounds]
        count = layers * length * (heads if kind == "head_out" else 1)
        flops = suffix_flops(module, length, kind)
        floor = measure.Times([seconds * flops / work / count for seconds in times["product"].rounds])
        mine = a_cell(times[kind], count)
        rows = [line(f"`activation_patching`, {kind}", count, mine, mine, floor)]
        if kind == "resid_post":
            affected = len(spared().filter(method="exact"))
            what = f"`activation_patching`, the {affected} cells that causality does not spare"
            rows.append(line(what, affected, a_cell(times["spared"], affected), mine, floor))
            rows.append(line("`attribution_patching`", count, a_cell(times["estimated"], count), mine, floor))
            whole = times
        for (way, of), (what, cells, _) in others.items():
            if of == kind:
                rows.append(line(what, len(cells), a_cell(times[way, of], len(cells)), mine, floor))
        rows.append(line("floor of the suffix algorithm", count, floor, mine, floor))
        title = f"Patching, {kind}, SmolLM2-135M, float32, {length} tokens, {layers} layers"
        header = [
            "",
            "cells run",
            "best, a cell",
            "median, a cell",
            "over the sweep",
            "over the floor",
            "median over floor",
        ]
        measure.report(title, header, rows)

    if lens is None:
        print("\nWithout TransformerLens: IW_TRANSFORMER_LENS names no python that has it.")
    products = sum(2 * rows.numel() * len(weight) for rows, weight in calls) / 1e9
    both = spared().filter(method="exact").join(estimated(), on=["site", "position"], suffix="_estimated")
    rank = both.select(pl.corr("effect", "effect_estimated", method="spearman")).item()
    equal = f"Largest difference between the sweeps and the other ways: {worst['']:.1e}"
    equal += f"; TransformerLens: {worst['lens']:.1e}" if lens else ""
    print(
        f"\nThe large product ran at {max(rates) / 1e9:.0f} GFLOP/s (median {statistics.median(rates) / 1e9:.0f}). Of the "
        f"residual sweep's {whole['resid_post'].best:.2f} s, the products of its layers, played again on the same weights and "
        f"shapes, take {whole['replayed'].best:.2f} s ({products:.0f} GFLOP with the readings and checks; the floor counts "
        f"{suffix_flops(module, length) / 1e9:.0f}) and the unembedding of its cells {whole['unembedded'].best:.2f} s.\n\n"
        f"{equal}. Rank correlation (Spearman) of the estimate with "
        f"the exact effects of the {len(both)} cells: {rank:.2f}.\n\n"
        f"Goal: equal to 1e-4: {'met' if worst[''] <= 1e-4 else 'NOT met'}.\n\n{measure.machine()}"
    )


def a_cell(times: measure.Times, cells: int) -> measure.Times:
    return measure.Times([seconds / cells for seconds in times.rounds])


def line(what: str, cells: int, times: measure.Times, sweep: measure.Times, floor: measure.Times) -> list[object]:
    """One row: ratios of the best rounds, and the median over rounds of the ratio to the floor of that round."""
    figures = [measure.ms(times.best), measure.ms(times.median), f"{times.best / sweep.best:.1f}"]
    return [what, cells, *figures, f"{times.best / floor.best:.2f}", f"{measure.ratio(times, floor).median:.2f}"]


class TransformerLens:
    """A process of another environment that waits for its turn."""

    def __init__(self, python: str, job: dict[str, object]) -> None:
        script = str(Path(__file__).with_name("patching_transformer_lens.py"))
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([python, script], stdin=pipe, stdout=pipe, text=True, env=environment)
        self.seconds = 0.0
        self._write(json.dumps(job))

    def run(self, kind: str) -> list[float]:
        """Logit differences of the job's cells of one kind."""
        self._write(kind)
        assert self.process.stdout is not None
        seconds, values = json.loads(self.process.stdout.readline())
        self.seconds += seconds
        return values

    def _write(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()


def place(layer, kind: str, head: int):
    """Where an activation is in a Llama layer, torch's or nnsight's: the module, its end, and the columns."""
    columns = slice(None)
    if kind == "resid_post":
        return layer, "output", columns
    if kind == "mlp_out":
        return layer.mlp, "output", columns
    if kind == "attn_out":
        return layer.self_attn.o_proj, "output", columns
    return layer.self_attn.o_proj, "input", slice(64 * head, 64 * head + 64)


def activations(module, ids: Sequence[int], kind: str) -> list:
    """What is put in, by plain hooks: per layer [tokens, width], all heads side by side."""
    import torch

    out, hooks = [], []
    for layer in module.model.layers:
        inner, end, _ = place(layer, kind, 0)
        if end == "output":
            hooks.append(inner.register_forward_hook(lambda _m, _i, y: out.append(y[0].clone())))
        else:
            hooks.append(inner.register_forward_pre_hook(lambda _m, args: out.append(args[0][0].clone())))
    with torch.no_grad():
        module(input_ids=torch.tensor([ids]), use_cache=False)
    for hook in hooks:
        hook.remove()
    return out


def hooked(module, ids: Sequence[int], kind: str, cells: Sequence[Cell], values: list):
    """Logits at the last token [cells, vocabulary]: the cells of one layer and head as rows of a batch."""
    import torch

    layer, _, head = cells[0]
    inner, end, columns = place(module.model.layers[layer], kind, head)
    positions = [p for _, p, _ in cells]

    def put(x):
        x = x.clone()
        x[range(len(cells)), positions, columns] = values[layer][positions, columns]
        return x

    if end == "output":
        hook = inner.register_forward_hook(lambda _m, _i, y: put(y))
    else:
        hook = inner.register_forward_pre_hook(lambda _m, args: (put(args[0]), *args[1:]))
    try:
        with torch.no_grad():
            return module(input_ids=torch.tensor([ids] * len(cells)), use_cache=False, logits_to_keep=1).logits[:, -1]
    finally:
        hook.remove()


def traced(model, nnsight, ids: Sequence[int], kind: str, cells: Sequence[Cell], values: list):
    """The tutorial's way, [cells, vocabulary]: one trace, for each cell an invoke in which one activation is assigned."""
    import torch

    inputs, out = {"input_ids": torch.tensor([ids])}, []
    layer, first, head = cells[0]
    inner, end, columns = place(model.model.layers[layer], kind, head)
    if len(cells) == 1:
        with torch.no_grad(), model.trace(inputs, use_cache=False, logits_to_keep=1):
            getattr(inner, end)[:, first, columns] = values[layer][first, columns]
            logits = nnsight.save(model.output.logits[:, -1])
        return logits
    with torch.no_grad(), model.trace(use_cache=False, logits_to_keep=1) as tracer:
        for _, position, _ in cells:
            with tracer.invoke(inputs):
                getattr(inner, end)[:, position, columns] = values[layer][position, columns]
                out.append(nnsight.save(model.output.logits[:, -1]))
    return torch.cat(out)


def products_of(module, run: Callable[[], object]) -> list:
    """Rows and weight of every matrix product that a run makes in the layers; random rows stand for the real ones."""
    import torch

    shapes = []
    linears = [inner for inner in module.model.layers.modules() if isinstance(inner, torch.nn.Linear)]
    hooks = [inner.register_forward_pre_hook(lambda m, args: shapes.append((args[0].shape, m))) for inner in linears]
    run()
    for hook in hooks:
        hook.remove()
    rows = {shape: torch.randn(shape).flatten(0, -2) for shape, _ in shapes}
    return [(rows[shape], inner.weight.detach()) for shape, inner in shapes]


def suffix_flops(module, tokens: int, kind: str = "resid_post") -> int:
    """Floating-point operations of a whole grid by the suffix algorithm."""
    config = module.config
    layers, width, heads = config.num_hidden_layers, config.hidden_size, config.num_attention_heads
    products = sum(p.numel() for p in module.model.layers[0].parameters() if p.dim() == 2)
    mlp = 3 * width * config.intermediate_size
    own = {"attn_out": mlp, "head_out": mlp + width * width // heads}.get(kind, 0)
    above = sum(layers - 1 - layer for layer in range(layers))
    a_layer = sum(
        2 * products * (tokens - p) + sum(4 * (q + 1) * width for q in range(p, tokens)) for p in range(tokens)
    )
    cells = above * a_layer + layers * tokens * 2 * (own + 2 * width)
    return cells * (heads if kind == "head_out" else 1)


if __name__ == "__main__":
    main()
