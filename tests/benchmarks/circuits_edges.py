"""What the edges of a circuit cost, against the paper's own code and circuit-tracer.

Each needs a checkout and a Python of its own, with the nnsight that it was written for, named by two variables each:

    IW_PAPER=CHECKOUT    IW_PAPER_PYTHON=PYTHON     saprmarks/feature-circuits; nnsight 0.3.7, transformers 4.46
    IW_TRACER=CHECKOUT   IW_TRACER_PYTHON=PYTHON    decoderesearch/circuit-tracer; nnsight 0.6.1, transformers 4.57

One that is not named is left out; names of models as arguments leave out the others. All take turns on one machine; loading the
model and its dictionaries is not counted. With the paper the model, the prompts, the dictionaries, the nodes and the gradients at
them are the same, and so must be the edges. circuit-tracer has another graph (transcoders, attention and norms frozen), so its
graph is only of equal size: as many features.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.benchmarks import measure

ROUNDS = {"toy-grammar": 2, "smollm2-135m": 1}
AGREEMENT = "the key near the cabinets", "the keys near the cabinets"
CABINETS = "The key to the cabinets", "The keys to the cabinets"
CASES = {
    "toy-grammar, its 13 dictionaries": ("toy-grammar", *AGREEMENT, "is", "are", None, (50, 300)),
    "SmolLM2-135M, coordinates of 91 sites": ("smollm2-135m", *CABINETS, " is", " are", "coordinates", (60, 500)),
}  # fmt: skip
"""Name -> model, prompts, answers, dictionaries, and how many nodes."""
TRACER = {"toy-grammar": (384, 8, 128), "smollm2-135m": (2048, 32, 64)}
"""Model -> atoms of a transcoder, how many are on, and circuit-tracer's batch: the quickest of those that were tried."""
PAPER_NODES = {"toy-grammar": 300, "smollm2-135m": 60}
"""With more the paper's code takes too long."""


def main() -> None:
    import polars as pl

    import interp_widgets as iw
    from interp_widgets.methods.circuits.dictionaries import dictionaries_of
    from interp_widgets.methods.circuits.edges import run_edges
    from interp_widgets.methods.circuits.prompts import prompts_of

    measure.one_thread()
    rows: list[tuple[object, ...]] = []
    for case, (name, clean, corrupt, answer, foil, given, sizes) in CASES.items():
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        model = iw.load(name)
        dictionaries = dictionaries_of(model, given)
        dictionaries = dictionaries_of(model, {site: dictionaries[site] for site in dictionaries})
        prompts = prompts_of(model, clean, corrupt, answer, foil)
        asked = {"clean": clean, "corrupt": corrupt, "answer": answer, "foil": foil, "dictionaries": dictionaries}
        nodes = iw.methods.circuit(model, **asked)
        with TemporaryDirectory() as folder:
            _save(model, Path(folder))
            for size in sizes:
                kept = nodes.head(size)
                threshold = float(nodes["effect"].abs()[size]) if size < len(nodes) else 0.0
                kept = kept.filter(pl.col("effect").abs() > threshold)
                run_edges(model, prompts, dictionaries, kept)
                mine, others = [], {"paper": [], "tracer": []}
                for _ in range(ROUNDS[name]):
                    begin = time.perf_counter()
                    edges = run_edges(model, prompts, dictionaries, kept)
                    mine.append(time.perf_counter() - begin)
                    memory = _peak()
                    if "IW_PAPER" in os.environ and size <= PAPER_NODES[name]:
                        request = _paper_request(model, prompts.batches[0], dictionaries, threshold)
                        others["paper"].append(_elsewhere("paper", request, Path(folder)))
                        _check_equal(edges, others["paper"][-1], set(kept["node"]))
                    if "IW_TRACER" in os.environ:
                        atoms, k, batch = TRACER[name]
                        request = {"clean": model.encode(clean), "layers": model.num_layers, "width": model.width, "atoms": atoms,
                                   "k": k, "features": len(kept), "batch": batch}  # fmt: skip
                        others["tracer"].append(_elsewhere("tracer", request, Path(folder)))
                ours = measure.Times(mine)
                rows.append(
                    (case, "`circuit_edges`", len(kept), len(edges), measure.ms(ours.best), "1", f"{memory:.0f} MB")
                )
                for key, label in (("paper", "the paper's code"), ("tracer", "circuit-tracer")):
                    if others[key]:
                        theirs = measure.Times([each["seconds"] for each in others[key]])
                        last = others[key][-1]
                        over = measure.ratio(theirs, ours)
                        count = last["edges"] if key == "tracer" else sum(len(part[-1]) for part in last["edges"])
                        rows.append((case, label, last.get("features", len(kept)), count, measure.ms(theirs.best),
                                     f"{over.median:.0f}", f"{last['peak_mb']:.0f} MB"))  # fmt: skip
    header = ["", "", "nodes", "edges", "best", "times ours, median", "peak of its process"]
    measure.report("the edges of a circuit of one pair of prompts", header, rows)
    print(measure.machine())


def _save(model: Any, folder: Path) -> None:
    """The model as older versions of transformers read it."""
    model.torch_module.save_pretrained(folder / "model")
    model.tokenizer.save_pretrained(folder / "model")
    theta = model.torch_module.config.rope_parameters["rope_theta"]
    for name, older in (
        ("tokenizer_config", {"tokenizer_class": "PreTrainedTokenizerFast"}),
        ("config", {"rope_theta": theta}),
    ):
        file = folder / "model" / f"{name}.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | older))


def _paper_request(model: Any, batch: Any, dictionaries: Any, threshold: float) -> dict[str, Any]:
    from interp_widgets.methods.circuits.passes import gradients, read

    sites = list(dictionaries)
    _, x, gradient = gradients(model, batch, sites)
    weights = {
        site: {key: getattr(dictionaries[site], key) for key in ("W_enc", "b_enc", "W_dec", "b_dec", "subtract")}
        | {"k": getattr(dictionaries[site], "k", 0)}
        for site in sites
    }
    return {"clean": batch.clean[0].tolist(), "corrupt": batch.corrupt[0].tolist(), "clean_x": x, "gradient": gradient,
            "corrupt_x": read(model, batch.corrupt, sites), "dictionaries": weights, "threshold": threshold}  # fmt: skip


def _elsewhere(who: str, request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """What a contestant wrote, run by its own Python."""
    import torch

    asked, found = folder / "asked.pt", folder / "found.pt"
    torch.save(request | {"model": str(folder / "model")}, asked)
    script = Path(__file__).parent / "elsewhere" / f"{who}_edges.py"
    variable = f"IW_{who.upper()}"
    subprocess.run(
        [os.environ[f"{variable}_PYTHON"], script, os.environ[variable], asked, found],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
    )
    return torch.load(found)


def _check_equal(edges: Any, found: dict[str, Any], kept: set[str]) -> None:
    """Every edge between kept nodes, but for those out of errors, which that code loses."""
    mine = {
        (source, target): weight for source, target, weight in edges.select("source", "target", "weight").iter_rows()
    }
    theirs: dict[tuple[str, str], float] = {}
    for source, target, width, at, weights in found["edges"]:
        for (p, i, q, j), weight in zip(at.tolist(), weights.tolist(), strict=True):
            d, u = (
                f"{site}/{'error' if unit == width else unit}@{position}"
                for site, unit, position in ((target, i, p), (source, j, q))
            )
            if {u, d} <= kept:
                theirs[u, d] = weight
    mine = {pair: weight for pair, weight in mine.items() if pair[1] != "answer" and "error" not in pair[0]}
    largest = max(map(abs, theirs.values()))
    pairs = mine.keys() | theirs.keys()
    worst = max(abs(mine.get(pair, 0.0) - theirs.get(pair, 0.0)) for pair in pairs)
    if not worst < 1e-4 * largest:
        raise SystemExit(f"edges differ by {worst} where the largest is {largest}")


def _peak() -> float:
    """MB"""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
