"""Time and peak of memory of node effects on SmolLM2-135M at 91 sites: embed, attention, MLP and stream of 30 layers.

A fresh process for each; Linux only. The random dictionaries are TopK ones of 8192 atoms, one a site, in files: 91 folders whose
weights are links to three files, so that the disk holds 113 MB and every load reads 38 MB.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.benchmarks import measure
from tests.benchmarks.patching_memory import forget_peak, resident

WIDTH, K = 8192, 32
CASES = (
    ("coordinates", "attribution", 1),
    ("coordinates", "attribution", 48),
    ("dictionaries", "attribution", 1),
    ("dictionaries", "attribution", 48),
    ("dictionaries", "integrated_gradients", 1),
)
PAIRS = 48


def saved(folder: Path) -> dict[str, str]:
    """Site -> folder of a random dictionary."""
    import torch

    from interp_widgets.sae.saelens_writing import WEIGHTS, write

    sites = ["embed", *(f"{kind}.{layer}" for layer in range(30) for kind in ("attn_out", "mlp_out", "resid_post"))]
    hooks = {"attn_out": "hook_attn_out", "mlp_out": "hook_mlp_out", "resid_post": "hook_resid_post"}
    for i, site in enumerate(sites):
        kind, _, layer = site.partition(".")
        hook = f"blocks.{layer}.{hooks[kind]}" if layer else "hook_embed"
        here = folder / site
        if i < 3:
            generator = torch.Generator().manual_seed(i)
            decoder = torch.nn.functional.normalize(torch.randn(WIDTH, 576, generator=generator), dim=1)
            tensors = {
                "W_enc": decoder.T.contiguous(),
                "b_enc": torch.zeros(WIDTH),
                "W_dec": decoder,
                "b_dec": torch.zeros(576),
            }
            write(here, tensors, k=K, metadata={"model_name": "smollm2-135m", "hook_name": hook})
        else:
            here.mkdir()
            os.link(folder / sites[i % 3] / WEIGHTS, here / WEIGHTS)
            config = json.loads((folder / sites[0] / "cfg.json").read_text())
            config["metadata"]["hook_name"] = hook
            (here / "cfg.json").write_text(json.dumps(config))
    return {site: str(folder / site) for site in sites}


def one(kind: str, method: str, count: int, given: Any) -> None:
    """One circuit, in this process; prints its figures as JSON."""
    import interp_widgets as iw
    from interp_widgets.lab import prompts

    measure.one_thread()
    model = iw.load("smollm2-135m")
    pairs = prompts.agreement(PAIRS)[:count].to_dict(as_series=False)
    model.read(pairs["clean"][0], ["logits"])  # weights are read from their file when they are first used
    before, begin = resident(), time.process_time()
    forget_peak()
    frame = iw.methods.circuit(model, **pairs, dictionaries=given, method=method)
    figures = {"nodes": len(frame), "seconds": time.process_time() - begin, "peak": resident("VmHWM") - before}
    sys.stdout.write(json.dumps(figures) + "\n")


def main() -> None:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        given = {"coordinates": "coordinates", "dictionaries": saved(Path(folder))}
        for kind, method, count in CASES:
            command = [
                sys.executable,
                "-m",
                "tests.benchmarks.circuits_memory",
                kind,
                method,
                str(count),
                json.dumps(given[kind]),
            ]
            out = json.loads(
                subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
            )
            rows.append(
                [f"{kind}, {method}", count, out["nodes"], f"{out['peak'] / 2**20:.0f} MiB", f"{out['seconds']:.1f} s"]
            )
    header = ["", "pairs", "nodes", "peak above the model", "processor time"]
    measure.report("Node effects at 91 sites of SmolLM2-135M, float32", header, rows)
    print(f"\n{measure.machine()}")


if __name__ == "__main__":
    one(sys.argv[1], sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4])) if len(sys.argv) > 1 else main()
