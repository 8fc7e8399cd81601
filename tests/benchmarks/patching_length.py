"""How the exact sweep grows with the prompt, against layers x positions^2 / 4, and its memory.

A cell costs on average half of the layers on half of the positions, so a grid of T positions costs about T^2 / 4 tokens through
all layers, for every layer of the grid; attention adds its own square. Each length runs in a fresh process, so that the peak is
its own. From 64 tokens on, three layers (0, 10, 20) stand for all, and the time is scaled by what their cells have above them.
"""

from __future__ import annotations

import importlib
import json
import resource
import subprocess
import sys
import time

from tests.benchmarks import measure
from tests.benchmarks.patching import suffix_flops

LENGTHS = (8, 16, 32, 64, 128)
FEW = (0, 10, 20)


def one(tokens: int) -> None:
    """One length, in this process; prints its figures as JSON."""
    import torch

    import interp_widgets as iw

    measure.one_thread()
    model = iw.load("smollm2-135m")
    method = importlib.import_module("interp_widgets.methods.activation_patching")
    ids = model.encode(measure.text_of(model, tokens))
    layers = model.num_layers
    chosen = list(range(layers)) if tokens < 64 else list(FEW)
    share = sum(layers - 1 - layer for layer in chosen) / sum(range(layers))
    left, right = torch.randn(1024, 576), torch.randn(576, 1536)
    left @ right
    model.read(ids, ["logits"])  # weights are read from their file when they are first used
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin = time.perf_counter()
    run = method.prepare(model, [ids[0] + 1, *ids[1:]], ids, 5, 6, [f"resid_post.{layer}" for layer in chosen])
    method.sweep(model, run)
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    begin = time.perf_counter()
    for _ in range(20):
        left @ right
    rate = 20 * 2 * 1024 * 576 * 1536 / (time.perf_counter() - begin)
    floor = suffix_flops(model.torch_module, tokens) / rate
    figures = {"seconds": seconds / share, "floor": floor, "peak": peak * 1024, "identity": run.largest_identity}
    sys.stdout.write(json.dumps(figures) + "\n")


def main() -> None:
    rows = []
    layers = 30
    for tokens in LENGTHS:
        command = [sys.executable, "-m", "tests.benchmarks.patching_length", str(tokens)]
        out = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
        cells, seconds = layers * tokens, out["seconds"]
        rows.append(
            [
                tokens,
                f"{seconds:.1f} s",
                measure.ms(seconds / cells),
                measure.ms(seconds / (layers * tokens**2 / 4)),
                f"{seconds / out['floor']:.2f}",
                f"{out['peak'] / 1e6:.0f} MB",
            ]
        )
    header = [
        "tokens",
        "whole grid",
        "a cell",
        "over layers x positions^2 / 4",
        "over the floor",
        "peak memory above the model",
    ]
    measure.report(f"Patching by length, SmolLM2-135M, residual stream, {layers} layers", header, rows)
    print(f"\n{measure.machine()}")


if __name__ == "__main__":
    one(int(sys.argv[1])) if len(sys.argv) > 1 else main()
