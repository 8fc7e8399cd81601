"""What a cell of the sweep costs: against one hooked forward pass per cell, and against the arithmetic.

The arithmetic of a cell at layer l of `resid_post`: the layers above l over all T tokens, 2 T (parameters of their matrices)
plus 4 T^2 d for scores and mixing, and the unembedding of the last token, 2 d V. Divided by the rate of a large matrix
product measured in the same rounds, it is the time below which no sweep that runs those layers can get.
"""

from __future__ import annotations

from tests.benchmarks import measure

ROUNDS = 3
SAMPLE = (0, 7, 14, 21, 28)


def main() -> None:
    import torch

    import interp_widgets as iw

    measure.one_thread()
    model = iw.load("smollm2-135m")
    module = model.torch_module
    clean, corrupt = model.encode(measure.IOI), model.encode(measure.IOI_CORRUPT)
    answer, foil = model.single_token(" Mary"), model.single_token(" John")

    def sweep():
        return iw.methods.activation_patching(model, clean=clean, corrupt=corrupt, answer=answer, foil=foil)

    frame = sweep()
    exact = frame.filter(frame["method"] == "exact")
    positions = exact["position"].unique().sort().to_list()
    cells = [(layer, position) for layer in SAMPLE for position in positions]
    cached = streams(module, clean)

    def hooked():
        return [patched(module, corrupt, cached, layer, position) for layer, position in cells]

    largest = max(
        abs(float(logits[answer] - logits[foil]) - row["logit_difference"])
        for (layer, position), logits in zip(cells, hooked(), strict=True)
        for row in exact.filter((exact["layer"] == layer) & (exact["position"] == position)).to_dicts()
    )
    left, right = torch.randn(1024, 576), torch.randn(576, 1536)
    products = 20

    def product():
        for _ in range(products):
            left @ right

    times = measure.in_turn({"sweep": sweep, "hooked": hooked, "product": product}, ROUNDS)
    rate = products * 2 * left.shape[0] * left.shape[1] * right.shape[1] / times["product"].best
    per_cell = flops(module, len(corrupt))
    floor = sum(per_cell[layer] for layer in exact["layer"]) / len(exact) / rate
    full = per_cell[0] * 30 / 29 / rate
    rows = [
        ("`activation_patching`, whole grid", len(exact), *_cost(times["sweep"], len(exact))),
        (
            f"one hooked forward pass a cell, layers {', '.join(map(str, SAMPLE))}",
            len(cells),
            *_cost(times["hooked"], len(cells)),
        ),
        ("floor: layers above the cell, all tokens", len(exact), measure.ms(floor), ""),
        ("floor of a whole forward pass", "", measure.ms(full), ""),
    ]
    title = f"Patching, SmolLM2-135M, float32, IOI pair, {len(corrupt)} tokens, resid_post"
    measure.report(title, ["", "cells run", "best, per cell", "median, per cell"], rows)
    faster = times["hooked"].best / len(cells) * len(exact) / times["sweep"].best
    over = times["sweep"].best / len(exact) / floor
    print(
        f"\nThe sweep is {faster:.1f} x faster per cell than hooks and takes {over:.1f} x its floor, with the two baseline runs, "
        f"the caches and the identity row of each batch counted in. Matrix products ran at {rate / 1e9:.0f} GFLOP/s. Largest "
        f"difference between the two in the logit difference of the sampled cells: {largest:.1e}. {len(frame) - len(exact)} more "
        f"cells are zero by causality and were not run."
    )
    print(
        f"\nGoal: every cell equals a hooked run to 1e-4: {'met' if largest <= 1e-4 else 'NOT met'}.\n\n{measure.machine()}"
    )


def _cost(times: measure.Times, cells: int) -> tuple[str, str]:
    return measure.ms(times.best / cells), measure.ms(times.median / cells)


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


def patched(module, ids, cached, layer, position):
    """Logits at the last token with one activation put in."""
    import torch

    def put(_module, _inputs, output):
        output = output.clone()
        output[0, position] = cached[layer][position]
        return output

    hook = module.model.layers[layer].register_forward_hook(put)
    try:
        with torch.no_grad():
            return module(input_ids=torch.tensor([ids]), use_cache=False, logits_to_keep=1).logits[0, -1]
    finally:
        hook.remove()


def flops(module, tokens: int) -> list[int]:
    """Floating-point operations of a cell at each layer."""
    config = module.config
    layer = sum(p.numel() for p in module.model.layers[0].parameters() if p.dim() == 2)
    attention = 4 * tokens * tokens * config.hidden_size
    head = 2 * config.hidden_size * config.vocab_size
    count = config.num_hidden_layers
    return [(count - 1 - i) * (2 * tokens * layer + attention) + head for i in range(count)]


if __name__ == "__main__":
    main()
