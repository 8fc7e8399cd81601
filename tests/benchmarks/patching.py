"""What a cell of an exact sweep costs, against other ways to compute the same number and against the arithmetic.

The whole residual grid of SmolLM2-135M on an indirect-object pair: every layer, every position, also the columns that causality
would spare. Each contestant's figure is for the cells it ran, and all ran in turn in one process.

The floor is the arithmetic of the suffix algorithm at the rate of a large matrix product measured in the same rounds: a cell at
layer l, position p costs the layers above l times the positions from p on, and two rows of the unembedding.
"""

from __future__ import annotations

import importlib

from tests.benchmarks import measure

ROUNDS = 3
SAMPLE = (0, 7, 14, 21, 28)


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
    layers, length = model.num_layers, len(corrupt)
    answer, foil = model.single_token(" Mary"), model.single_token(" John")
    method = importlib.import_module("interp_widgets.methods.activation_patching")
    cached = streams(module, clean)
    at = list(range(0, length, 3))
    one_by_one = [(layer, position) for layer in SAMPLE for position in at]
    by_layer = [(layer, position) for layer in SAMPLE for position in range(length)]

    def sweep(kinds=("resid_post",)):
        run = method.prepare(model, clean, corrupt, answer, foil, kinds)
        run.unaffected = []
        method.sweep(model, run)
        return run

    def spared():
        return iw.methods.activation_patching(model, clean=clean, corrupt=corrupt, answer=answer, foil=foil)

    def estimated():
        return iw.methods.attribution_patching(model, clean=clean, corrupt=corrupt, answer=answer, foil=foil)

    left, right = torch.randn(1024, 576), torch.randn(576, 1536)
    products = 20

    def product():
        for _ in range(products):
            left @ right

    def difference(logits):
        return logits[..., answer] - logits[..., foil]

    contestants = {
        "product": product,
        "sweep": sweep,
        "kinds": lambda: sweep(("attn_out", "mlp_out")),
        "spared": spared,
        "estimated": estimated,
        "trace": lambda: torch.stack(
            [difference(traced(wrapped, nnsight, corrupt, cached, layer, position)) for layer, position in one_by_one]
        ),
        "invokes": lambda: torch.cat(
            [difference(invoked(wrapped, nnsight, corrupt, cached, layer)) for layer in SAMPLE]
        ),
        "hook": lambda: torch.stack(
            [difference(hooked(module, [corrupt], cached, layer, [position])[0]) for layer, position in one_by_one]
        ),
        "rows": lambda: torch.cat(
            [difference(hooked(module, [corrupt] * length, cached, layer, list(range(length)))) for layer in SAMPLE]
        ),
    }
    grid = sweep().logit_difference
    worst = 0.0
    for name, cells in (("trace", one_by_one), ("invokes", by_layer), ("hook", one_by_one), ("rows", by_layer)):
        mine = torch.stack([grid[cell] for cell in cells])
        worst = max(worst, float((contestants[name]().double() - mine).abs().max()))

    times = measure.in_turn(contestants, ROUNDS)
    rate = products * 2 * left.shape[0] * left.shape[1] * right.shape[1] / times["product"].best
    floor = suffix_flops(module, length) / (layers * length) / rate
    affected = len(spared().filter(method="exact"))
    rows = []
    for name, what, cells in (
        ("sweep", "`activation_patching`, residual stream", layers * length),
        ("kinds", "`activation_patching`, attention and MLP output", 2 * layers * length),
        ("spared", f"`activation_patching`, the {affected} cells that causality does not spare", affected),
        ("estimated", "`attribution_patching`, residual stream", layers * length),
        ("trace", "nnsight, one trace a cell", len(one_by_one)),
        ("invokes", "nnsight, a trace a layer, an invoke a position", len(by_layer)),
        ("hook", "one hooked forward pass a cell", len(one_by_one)),
        ("rows", "hooks, positions as rows of a batch", len(by_layer)),
    ):
        best, median = times[name].best / cells, times[name].median / cells
        faster = best / (times["sweep"].best / (layers * length))
        rows.append((what, cells, measure.ms(best), measure.ms(median), f"{faster:.1f}", f"{best / floor:.2f}"))
    rows.append(("floor of the suffix algorithm", layers * length, measure.ms(floor), "", "", "1"))
    both = spared().filter(method="exact").join(estimated(), on=["site", "position"], suffix="_estimated")
    rank = both.select(pl.corr("effect", "effect_estimated", method="spearman")).item()
    title = f"Patching, SmolLM2-135M, float32, {length} tokens, {layers} layers"
    measure.report(title, ["", "cells run", "best, a cell", "median, a cell", "best / sweep", "best / floor"], rows)
    print(
        f"\nThe sweeps include both readings of the prompts, the identity check, and the five likeliest tokens and the "
        f"probability of every cell. Matrix products ran at {rate / 1e9:.0f} GFLOP/s. Largest difference between the sweep and "
        f"the other ways: {worst:.1e}. Rank correlation (Spearman) of the estimate with the exact effects of those {affected} "
        f"cells: {rank:.2f}."
    )
    print(f"\nGoal: equal to 1e-4: {'met' if worst <= 1e-4 else 'NOT met'}.\n\n{measure.machine()}")


def streams(module, ids):
    """resid_post of every layer, by plain hooks: a list of [tokens, width]."""
    import torch

    out = []
    hooks = [layer.register_forward_hook(lambda _m, _i, y: out.append(y[0].clone())) for layer in module.model.layers]
    with torch.no_grad():
        module(input_ids=torch.tensor([ids]), use_cache=False)
    for hook in hooks:
        hook.remove()
    return out


def hooked(module, ids, cached, layer, positions):
    """Logits at the last token [rows, vocabulary], row i patched at positions[i]."""
    import torch

    def put(_module, _inputs, output):
        output = output.clone()
        output[range(len(positions)), positions] = cached[layer][positions]
        return output

    hook = module.model.layers[layer].register_forward_hook(put)
    try:
        with torch.no_grad():
            return module(input_ids=torch.tensor(ids), use_cache=False, logits_to_keep=1).logits[:, -1]
    finally:
        hook.remove()


def traced(model, nnsight, ids, cached, layer, position):
    """The tutorial's way: one trace, one activation assigned."""
    import torch

    value = cached[layer][position]
    with torch.no_grad(), model.trace({"input_ids": torch.tensor([ids])}, use_cache=False, logits_to_keep=1):
        model.model.layers[layer].output[:, position] = value
        logits = nnsight.save(model.output.logits[0, -1])
    return logits


def invoked(model, nnsight, ids, cached, layer):
    """One trace with an invoke for each position: [positions, vocabulary]."""
    import torch

    values, inputs = cached[layer], {"input_ids": torch.tensor([ids])}
    out = []
    with torch.no_grad(), model.trace(use_cache=False, logits_to_keep=1) as tracer:
        for position in range(len(ids)):
            with tracer.invoke(inputs):
                model.model.layers[layer].output[:, position] = values[position]
                out.append(nnsight.save(model.output.logits[0, -1]))
    return torch.stack([logits[-1] if logits.dim() > 1 else logits for logits in out])


def suffix_flops(module, tokens: int) -> int:
    """Floating-point operations of the whole residual grid by the suffix algorithm."""
    config = module.config
    products = sum(p.numel() for p in module.model.layers[0].parameters() if p.dim() == 2)
    layers = config.num_hidden_layers
    above = sum(layers - 1 - layer for layer in range(layers))
    a_layer = sum(
        2 * products * (tokens - p) + sum(4 * (q + 1) * config.hidden_size for q in range(p, tokens))
        for p in range(tokens)
    )
    return above * a_layer + layers * tokens * 2 * 2 * config.hidden_size


if __name__ == "__main__":
    main()
