"""How long `import interp_widgets` takes, what it does not load, and how soon a first panel has its result.

Each figure is taken in a fresh process; the two imports take turns.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

from tests.benchmarks import measure

HEAVY = ("torch", "nnsight", "transformers", "altair", "ipywidgets", "anywidget", "polars", "numpy")
ROUNDS = 7

IMPORT = """
import sys, time
begin = time.perf_counter()
import {name}
print(__import__("json").dumps({{"seconds": time.perf_counter() - begin, "loaded": [n for n in {heavy!r} if n in sys.modules]}}))
"""

PANEL = """
import json, time
begin = time.perf_counter()
import torch
torch.set_num_threads(1)
torch_ready = time.perf_counter()
import interp_widgets as iw
model = iw.load("toy-grammar")
loaded = time.perf_counter()
panel = iw.Lens(model, "the capital of france is")
made = time.perf_counter()
panel.run()
end = time.perf_counter()
panel.run()
print(json.dumps({"import torch": torch_ready - begin, "`iw.load`, with the imports of nnsight and transformers":
      loaded - torch_ready, "`iw.Lens(...)` returns": made - loaded, "`.run()` done": end - made,
      "all of it": end - begin, "a second `.run()`": time.perf_counter() - end}))
"""


def main() -> None:
    wall: dict[str, list[float]] = {"interp_widgets": [], "torch": []}
    inside: dict[str, list[float]] = {"interp_widgets": [], "torch": []}
    loaded: dict[str, list[str]] = {}
    for name in wall:  # once before counting: the files come from the disk
        fresh(IMPORT.format(name=name, heavy=HEAVY))
    for _ in range(ROUNDS):
        for name in wall:
            seconds, result = fresh(IMPORT.format(name=name, heavy=HEAVY))
            wall[name].append(seconds)
            inside[name].append(result["seconds"])
            loaded[name] = result["loaded"]
    rows = [
        (
            f"`import {name}`",
            measure.ms(statistics.median(inside[name])),
            measure.ms(min(inside[name])),
            measure.ms(statistics.median(wall[name])),
            ", ".join(loaded[name]) or "none",
        )
        for name in wall
    ]
    title = f"Import, fresh processes, {ROUNDS} each"
    measure.report(title, ["", "median", "best", "median, whole process", f"of {', '.join(HEAVY)} loaded"], rows)
    verdict = "met" if not loaded["interp_widgets"] else f"NOT met: {loaded['interp_widgets']}"
    print(f"\nGoal: `import interp_widgets` loads none of {', '.join(HEAVY)}: {verdict}.")

    parts: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for part, seconds in fresh(PANEL)[1].items():
            parts.setdefault(part, []).append(seconds)
    measure.report(
        f"First panel: Lens on toy-grammar, fresh processes, {ROUNDS}",
        ["", "median", "best"],
        [(part, measure.ms(statistics.median(x)), measure.ms(min(x))) for part, x in parts.items()],
    )
    print(f"\n{measure.machine()}")


def fresh(code: str) -> tuple[float, dict]:
    """Wall time of a new interpreter that runs `code`, and the JSON it printed last."""
    begin = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - begin
    if done.returncode:
        raise RuntimeError(done.stderr)
    return seconds, json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
