"""The peak of memory of a whole grid, above the loaded model, at two budgets. A fresh process for each; Linux only."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
from pathlib import Path

from tests.benchmarks import measure

GRIDS = ("resid_post", "head_out.*.*")
BUDGETS = (2**29, 2**26)


def resident(field: str = "VmRSS") -> int:
    """Bytes of this process: VmRSS now, VmHWM at most since the last `forget_peak`."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def one(sites: str, memory: int) -> None:
    """One grid, in this process; prints its figures as JSON."""
    import interp_widgets as iw

    measure.one_thread()
    model = iw.load("smollm2-135m")
    method = importlib.import_module("interp_widgets.methods.activation_patching")
    model.read(measure.IOI, ["logits"])  # weights are read from their file when they are first used
    run = method.prepare(model, measure.IOI, measure.IOI_CORRUPT, " Mary", " John", [sites])
    run.unaffected = []
    before, begin = resident(), time.process_time()
    forget_peak()
    method.sweep(model, run, memory=memory)
    seconds = time.process_time() - begin
    cells = run.cells.logit_difference.numel()
    figures = {"cells": cells, "seconds": seconds, "peak": resident("VmHWM") - before}
    sys.stdout.write(json.dumps(figures) + "\n")


def main() -> None:
    rows = []
    for sites in GRIDS:
        for memory in BUDGETS:
            command = [sys.executable, "-m", "tests.benchmarks.patching_memory", sites, str(memory)]
            out = json.loads(
                subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
            )
            seconds = f"{out['seconds']:.1f} s"
            rows.append(
                [f"`{sites}`", out["cells"], f"{memory / 2**20:.0f} MiB", f"{out['peak'] / 2**20:.0f} MiB", seconds]
            )
    header = ["", "cells", "`memory`", "peak above the model and the readings", "processor time"]
    measure.report("Memory of patching, SmolLM2-135M, float32, 14 tokens", header, rows)
    print(f"\n{measure.machine()}")


if __name__ == "__main__":
    one(sys.argv[1], int(sys.argv[2])) if len(sys.argv) > 1 else main()
