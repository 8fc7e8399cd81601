"""What the lens costs over the arithmetic it cannot avoid.

The floor is one plain forward pass and the lens product: final norm and unembedding of all layers' streams, as one matrix
product, on the same threads. The model's own head is not run there, since the last layer's row of the product is its output.
"""

from __future__ import annotations

from tests.benchmarks import measure

GOAL = 1.3
ROUNDS = 9


def main() -> None:
    import torch

    import interp_widgets as iw
    from interp_widgets.methods.logit_lens import run_lens

    measure.one_thread()
    model = iw.load("smollm2-135m")
    import nnsight  # after the package, which orders nnsight's imports

    module = model.torch_module
    wrapped = nnsight.TransformersModel(module, tokenizer=model.tokenizer, task="text-generation")
    texts = {"IOI prompt": measure.IOI, "50 tokens": measure.text_of(model, 50)}
    for name, text in texts.items():
        ids = torch.tensor([model.encode(text)])
        panel = iw.Lens(model, text)
        panel.run()
        contestants = {
            "forward": lambda ids=ids: forward(module, ids),
            "floor": lambda ids=ids: floor(module, ids),
            "lens": lambda ids=ids: run_lens(model, ids[0].tolist(), track="output"),
            "panel": lambda panel=panel: panel.run(),
            "nnsight": lambda ids=ids: plain_nnsight(wrapped, nnsight, ids),
        }
        _check(run_lens(model, ids[0].tolist()), floor(module, ids))
        times = measure.in_turn(contestants, ROUNDS)
        labels = {
            "forward": "plain forward alone",
            "floor": "plain forward + lens product",
            "lens": "`run_lens`: top 5, entropy, KL, ranks, lines",
            "panel": "`Lens.run()`: the same, with frame and traits",
            "nnsight": "straightforward nnsight: softmax, top 5, entropy of everything",
        }
        rows = []
        for key, label in labels.items():
            over = measure.ratio(times[key], times["floor"])
            rows.append(
                (
                    label,
                    measure.ms(times[key].best),
                    measure.ms(times[key].median),
                    f"{times[key].best / times['floor'].best:.2f}",
                    f"{over.median:.2f}",
                )
            )
        measure.report(
            f"Lens, SmolLM2-135M, float32, {name}: {ids.shape[1]} tokens, {model.num_layers} layers",
            ["", "best", "median", "best / floor's best", "median ratio to floor"],
            rows,
        )
        reached = times["lens"].best / times["floor"].best
        verdict = "met" if reached <= GOAL else "NOT met"
        print(f"\nGoal: `run_lens` at most {GOAL} x the floor, best against best: {verdict} ({reached:.2f}).")
    print(f"\n{measure.machine()}; {ROUNDS} rounds in turn")


def forward(module, ids):
    import torch

    with torch.no_grad():
        return module(input_ids=ids, use_cache=False).logits


def floor(module, ids):
    """Logits of every layer's stream: [layers, tokens, vocabulary]."""
    import torch

    streams = []
    hooks = [
        layer.register_forward_hook(lambda _m, _i, out: streams.append(out[0] if isinstance(out, tuple) else out))
        for layer in module.model.layers
    ]
    with torch.no_grad():
        module.model(input_ids=ids, use_cache=False)
        for hook in hooks:
            hook.remove()
        return module.lm_head(module.model.norm(torch.cat(streams)))


def plain_nnsight(model, nnsight, ids):
    """What a person would write: everything at once, inside one trace."""
    import torch

    with torch.no_grad(), model.trace(ids, use_cache=False):
        streams = torch.cat([layer.output for layer in model.model.layers])
        logits = model.lm_head(model.model.norm(streams))
        probabilities = logits.softmax(-1)
        entropy = nnsight.save(-(probabilities * probabilities.clamp(min=1e-30).log()).sum(-1))
        top = nnsight.save(probabilities.topk(5))
    return top, entropy


def _check(run, logits) -> None:
    """The contestants compute the same thing."""
    difference = (run.top_probabilities - logits.softmax(-1).gather(-1, run.top_ids)).abs().max()
    assert difference < 1e-4, difference


if __name__ == "__main__":
    main()
