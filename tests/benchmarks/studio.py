"""What a person waits for in the patching panel, in forward passes of the model: the first map, the grids, another answer, a cell.

Everything is measured in Python, from the request to the trait that the browser draws.
"""

from __future__ import annotations

import time

from tests.benchmarks import measure

ROUNDS = 3
KINDS = ("resid_post", "attn_out", "mlp_out")


def main() -> None:
    import interp_widgets as iw

    measure.one_thread()
    model = iw.load("smollm2-135m")
    ids = [model.encode(measure.IOI_CORRUPT)]
    asked = {"clean": measure.IOI, "corrupt": measure.IOI_CORRUPT}
    panel = iw.Patching(model, **asked, answer=" Mary", foil=" John", sites=KINDS)
    panel.run()
    first: list[float] = []

    def grids() -> None:
        """A run of the same question; notes when the estimate came."""
        begin, seen = time.perf_counter(), []
        panel.observe(lambda change: seen.append(time.perf_counter() - begin) if change.new else None, "estimate")
        panel.run()
        panel.unobserve_all("estimate")
        first.append(seen[0])

    def ask(foil: str) -> None:
        panel._on_run(**asked, answer=" Mary", foil=foil)
        panel._job.wait()
        assert not panel.error, panel.error

    def cell(wanted: str) -> None:
        panel.select()
        panel.select(position=9, site="resid_post", layer=12)
        while wanted not in panel.patch or (wanted == "said" and panel.patch.get("pending")):
            time.sleep(0.002)

    def frozen() -> None:
        panel.frozen = [12]
        cell("effect")
        panel.frozen = []

    def settle() -> None:
        """Nothing may go on beside what is measured next."""
        panel.select()
        panel._beside[""].wait()

    times = measure.in_turn(
        {
            "forward": lambda: model.run(ids, ["logits"], logits_to_keep=1),
            "grids": grids,
            "foil": lambda: (ask(" Tom"), ask(" John")),
            "undo": lambda: (panel.undo(), panel.redo()),
            "cell": lambda: cell("said"),
            "frozen": frozen,
            "settle": settle,
        },
        ROUNDS,
    )
    forward = times["forward"].best
    cells = len(panel.frame)
    rows = [
        ("one forward pass", measure.ms(forward), "1"),
        ("Run to the estimated map", measure.ms(min(first)), f"{min(first) / forward:.1f}"),
        (f"Run to all {cells} exact cells", measure.ms(times["grids"].best), f"{times['grids'].best / forward:.0f}"),
        ("another foil", measure.ms(times["foil"].best / 2), f"{times['foil'].best / 2 / forward:.2f}"),
        ("Undo", measure.ms(times["undo"].best / 2), f"{times['undo'].best / 2 / forward:.2f}"),
        (
            "a cell, to its effect past a frozen token",
            measure.ms(times["frozen"].best),
            f"{times['frozen'].best / forward:.1f}",
        ),
        (
            "a cell, to three continuations of 8 tokens",
            measure.ms(times["cell"].best),
            f"{times['cell'].best / forward:.1f}",
        ),
    ]
    measure.report("The studio, SmolLM2-135M, 14 tokens, three grids", ["", "best", "in forward passes"], rows)
    print(f"\n{measure.machine()}")


if __name__ == "__main__":
    main()
