"""What a dose-response curve costs as rows of one batch, against one generation a strength.

`generate` is transformers' own greedy generation, with its cache, once a strength and with no edit at all: the least that a loop
over strengths could cost. `steer` measures as well: four metrics, one of them a pass over what was said.
"""

from __future__ import annotations

from tests.benchmarks import measure

ROUNDS = 2
TOKENS = 10
PROMPT = "The keys to the cabinet"


def main() -> None:
    import torch

    import interp_widgets as iw
    from interp_widgets.methods.steering import fill_steering, prepare_steering

    measure.one_thread()
    model = iw.load("smollm2-135m")
    ids = torch.tensor([model.encode(PROMPT)])
    vector = torch.randn(model.width, generator=torch.Generator().manual_seed(0))
    strengths = [-4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0]
    asked = {"direction": vector, "site": "resid_post.15", "tokens": TOKENS}

    def loop() -> None:
        for _ in strengths:
            model.torch_module.generate(
                ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=TOKENS, min_new_tokens=TOKENS
            )

    def curve(randoms: int) -> None:
        run = prepare_steering(model, PROMPT, strengths=strengths, randoms=randoms, **asked)
        fill_steering(model, run)

    times = measure.in_turn(
        {
            "loop": loop,
            "curve": lambda: curve(0),
            "beside": lambda: curve(3),
        },
        ROUNDS,
    )
    labels = {
        "loop": "transformers' `generate`, nine times, unsteered",
        "curve": "`steer`, nine strengths and the baseline in one batch",
        "beside": "the same beside three random directions: 37 runs",
    }
    rows = []
    for key, label in labels.items():
        over = measure.ratio(times[key], times["loop"])
        rows.append((label, measure.ms(times[key].best), measure.ms(times[key].median), f"{over.median:.2f}"))
    title = f"nine strengths, {TOKENS} new tokens, prompt of {ids.shape[1]} tokens"
    measure.report(title, ["", "best", "median", "median ratio to the loop"], rows)


if __name__ == "__main__":
    main()
