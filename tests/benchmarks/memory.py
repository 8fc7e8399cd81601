"""Whether memory or threads grow with the number of clicks on Run."""

from __future__ import annotations

import gc
import statistics
import threading
from itertools import combinations

from tests.benchmarks import measure

WARM = 30
"""Clicks before counting: allocators and caches of tokens settle first."""
GOAL = 20_000
"""Bytes a click that count as none: less than the noise of the allocator over 200 clicks of a panel of 50 to 300 KB."""


def main() -> None:
    import interp_widgets as iw

    measure.one_thread()
    toy, sae = iw.load("toy-grammar"), iw.load_sae("toy-grammar/resid_post.2")
    short, long = (measure.text_of(toy, n, measure.GRAMMAR) for n in (14, 30))
    other = short.replace("john gave", "mary gave")
    rows = [
        clicks("Lens, toy-grammar", iw.Lens(toy, short), [{"text": short}, {"text": long}], 200),
        clicks("Atoms, toy-grammar", iw.Atoms(toy, short, sae=sae), [{"text": short}, {"text": long}], 200),
        clicks("Attention, toy-grammar", iw.Attention(toy, short), [{"text": short}, {"text": long}], 200),
        clicks(
            "Patching, toy-grammar",
            iw.Patching(toy, short, other, "mary", "john"),
            [
                {"clean": short, "corrupt": other, "answer": "mary", "foil": "john"},
                {"clean": other, "corrupt": short, "answer": "john", "foil": "mary"},
            ],
            200,
        ),
    ]
    real = iw.load("smollm2-135m")
    texts = [{"text": measure.IOI}, {"text": "The Eiffel Tower is in the city of"}]
    rows.append(clicks("Lens, SmolLM2-135M", iw.Lens(real, measure.IOI), texts, 40))
    header = [
        "",
        "clicks",
        "RSS after warm-up",
        "RSS at the end",
        "largest between",
        "slope a click",
        "Python threads before, after",
    ]
    measure.report("Memory over clicks on Run, alternating texts", [*header, "OS threads before, after", "goal"], rows)
    print(f"\nGoal: none, that is at most {GOAL / 1000:.0f} KB a click and no new threads.\n\n{measure.machine()}")


def clicks(name: str, panel, requests: list[dict], count: int) -> tuple:
    """Send `count` run requests as the browser does, each awaited; a row of the table."""
    import psutil

    me = psutil.Process()

    def click(i: int) -> None:
        panel._handle_custom_msg({"type": "run", **requests[i % len(requests)]}, [])
        panel._job.wait()
        assert not panel.error, panel.error

    panel.run()
    for i in range(WARM):
        click(i)
    gc.collect()
    start, threads = me.memory_info().rss, (threading.active_count(), me.num_threads())
    sizes = []
    for i in range(count):
        click(i)
        if i % 10 == 9:
            gc.collect()
        sizes.append(me.memory_info().rss)
    after = (threading.active_count(), me.num_threads())
    slope = _slope(sizes)
    ok = slope <= GOAL and after[0] <= threads[0] and after[1] <= threads[1]
    return (
        name,
        count,
        f"{start / 1e6:.1f} MB",
        f"{sizes[-1] / 1e6:.1f} MB",
        f"{max(sizes) / 1e6:.1f} MB",
        f"{slope / 1000:+.1f} KB",
        f"{threads[0]}, {after[0]}",
        f"{threads[1]}, {after[1]}",
        "met" if ok else "NOT met",
    )


def _slope(values: list[int]) -> float:
    """Bytes per click: the median of the slopes between all pairs (Theil-Sen), which a passing peak does not move."""
    pairs = combinations(enumerate(values), 2)
    return statistics.median((b - a) / (j - i) for (i, a), (j, b) in pairs)


if __name__ == "__main__":
    main()
