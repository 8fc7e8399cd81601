"""Whether features make smaller circuits than neurons do: the main claim of Marks et al. (arXiv:2403.19647), measured.

    python -m tests.benchmarks.circuits_claim toy                two kinds of agreement on toy-grammar, its 13 dictionaries
    python -m tests.benchmarks.circuits_claim smollm2 [FOLDER]   agreement across a phrase on SmolLM2, the dictionaries in FOLDER
                                                                 (`lab.smollm2_saes`; default the cache)

Nodes are ranked by attribution on some pairs and kept alone on others. Beside features stand the coordinates of the same sites, and
the neurons of the MLPs with the coordinates of the other sites. The figures are in docs/faithfulness.md.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

import interp_widgets as iw
from tests.benchmarks import measure

LEVEL = 0.9
GRID = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 75, 100, 150, 200, 300, 500, 800, 1200, 2000, 3000, 5000)
COARSE = (10, 20, 30, 50, 100, 200, 300, 500, 800, 1200, 2000)
"""The same for a larger model."""
BETWEEN = (10, 1000)
"""Numbers of nodes between which the area is taken."""


def asked(pairs: pl.DataFrame) -> dict[str, list[Any]]:
    """Pairs as the arguments of a circuit."""
    return {name: pairs[name].to_list() for name in ("clean", "corrupt", "answer", "foil")}


def right(model: iw.Session, pairs: pl.DataFrame) -> pl.DataFrame:
    """The pairs in which the model prefers the answer in the clean prompt and the foil in the corrupt one."""
    from interp_widgets.lab.prompts import logit_differences

    known = logit_differences(model, pairs)
    return pairs.filter((known["clean_difference"] > 0) & (known["corrupt_difference"] < 0))


def sites_beside(dictionaries: Mapping[str, Any], neurons: bool) -> dict[str, str]:
    """Coordinates at the sites of some dictionaries; with `neurons` those of mlp_act in the place of mlp_out."""
    sites = [site.replace("mlp_out", "mlp_act") if neurons else site for site in dictionaries]
    return dict.fromkeys(sites, "coordinates")


def curve(
    model: iw.Session,
    ranked_on: pl.DataFrame,
    tested_on: pl.DataFrame,
    dictionaries: Any,
    sizes: Sequence[int] = GRID,
    **how: Any,
) -> pl.DataFrame:
    """Faithfulness by number of nodes; `how`: further arguments of `circuit_faithfulness`."""
    nodes = iw.methods.circuit(model, **asked(ranked_on), dictionaries=dictionaries, positions="summed")
    able = len(nodes) if how.get("errors", "nodes") == "nodes" else nodes["kind"].eq("atom").sum()
    return iw.methods.circuit_faithfulness(
        model, nodes=nodes, **asked(tested_on), dictionaries=dictionaries, sizes=[n for n in sizes if n <= able], **how
    )


def reached(found: pl.DataFrame, column: str = "faithfulness") -> float:
    """The number of nodes from which on a curve stays at `LEVEL` or above; infinite if the last is below."""
    enough = (found[column] >= LEVEL).to_list()
    above = len(enough) - enough[::-1].index(False)
    return found["nodes"][above] if above < len(enough) else float("inf")


def area(found: pl.DataFrame, column: str = "faithfulness") -> float:
    """Mean faithfulness, cut to 0 to 1, over `BETWEEN` in equal ratios."""
    at = np.geomspace(*BETWEEN, 200)
    return float(
        np.interp(np.log(at), np.log(found["nodes"].cast(pl.Float64).clip(0.5)), found[column].clip(0, 1)).mean()
    )


def table(
    model: iw.Session,
    ranked_on: pl.DataFrame,
    tested_on: pl.DataFrame,
    saes: Mapping[str, Any],
    title: str,
    sizes: Sequence[int] = GRID,
) -> None:
    kinds: dict[str, tuple[Any, dict[str, Any]]] = {
        "features and errors": (saes, {}),
        "features, errors ablated": (saes, {"errors": "removed"}),
        "features, errors kept": (saes, {"errors": "kept"}),
        "coordinates": (sites_beside(saes, neurons=False), {}),
        "neurons": (sites_beside(saes, neurons=True), {}),
    }
    for order in ("effect", "turns"):
        rows = []
        for label, (dictionaries, how) in kinds.items():
            if how and order == "turns":
                continue
            start = time.monotonic()
            found = curve(model, ranked_on, tested_on, dictionaries, sizes, order=order, **how)
            areas = [area(found, column) for column in ("faithfulness", "low", "high")]
            rows.append((
                label, *(f"{reached(found, column)}" for column in ("faithfulness", "high", "low")),
                *(f"{each:.2f}" for each in areas), f"{found['faithfulness'][-1]:.2f}", f"{time.monotonic() - start:.0f}",
            ))  # fmt: skip
            print(label, order, found.select("nodes", "faithfulness", "low", "high").rows(), flush=True)
        columns = ["", f"N for {LEVEL}", "earliest", "latest", "area", "low", "high", "all", "s"]
        measure.report(f"{title}, order {order}", columns, rows)


def toy() -> None:
    from interp_widgets.lab.toy_grammar.pairs import agreement_pairs
    from interp_widgets.sae.load import bundled

    model = iw.load("toy-grammar")
    saes = {iw.load_sae(name).site: name for name in bundled() if name.startswith("toy-grammar/")}
    for kind in ("rc_obj", "pp"):
        ranked_on, tested_on = agreement_pairs(128, kind, held_out=False), agreement_pairs(128, kind, seed=1)
        table(model, ranked_on, tested_on, saes, f"toy-grammar, {kind}, 128 + 128 pairs")


def smollm2(folder: str | None = None) -> None:
    from interp_widgets.lab.prompts import agreement
    from interp_widgets.lab.smollm2_saes import trained

    model, saes = iw.load("smollm2-135m"), trained(folder)
    if not saes:
        sys.exit("There are no dictionaries. Train them: python -m interp_widgets.lab.smollm2_saes --sites circuit ...")
    pairs = right(model, agreement())
    half = len(pairs) // 2  # in each half plural and singular subjects take turns, and no noun is in both
    ranked_on, tested_on = pairs[:half], pairs[half:]
    title = (
        f"SmolLM2-135M, {len(ranked_on)} + {len(tested_on)} pairs of 48 that it gets right, {len(saes)} dictionaries"
    )
    table(model, ranked_on, tested_on, saes, title, COARSE)


def main(what: list[str]) -> None:
    measure.one_thread()
    if what[:1] == ["smollm2"]:
        smollm2(*what[1:2])
    else:
        toy()


if __name__ == "__main__":
    main(sys.argv[1:])
