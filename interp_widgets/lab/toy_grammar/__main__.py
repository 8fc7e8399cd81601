"""The bundled toy-grammar, made anew: a model a seed, its dictionaries, and a report on both.

    python -m interp_widgets.lab.toy_grammar FOLDER                three seeds, half an hour each on one quiet core
    python -m interp_widgets.lab.toy_grammar FOLDER --seeds 0      one

What is asked for is in FOLDER/seed0/: model/ (float16, as it is bundled), saes/, curve.json, report.md and report.json. What the
models of all seeds can do is in FOLDER/seeds.md. Begun again in the same folder, what is finished is kept, and a training goes on
from its checkpoint.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import polars as pl
import torch

from ...session.load import load
from . import dictionaries, report
from .tokens import tokenizer
from .training import Recipe, Say, train

HELD_OUT = 1000
"""Held-out sentences a row of the report, where a set is not small enough to be asked whole."""


def make(folder: Path, seed: int, recipe: Recipe, say: Say) -> pl.DataFrame:
    """Everything of one seed; what the model can do, see `report.behaviour`."""
    say(f"seed {seed}\n")
    model = train(folder, seed, recipe, say)
    model.half().save_pretrained(folder / "model")
    tokenizer().save_pretrained(folder / "model")
    session = load(folder / "model", name="toy-grammar")
    made = dictionaries.dictionaries(session, folder, say)
    tables = report.report(session, made, HELD_OUT)
    report.write(tables, folder)
    say(report.markdown(tables["behaviour"]) + "\n")
    return tables["behaviour"]


def main(arguments: list[str] | None = None, say: Say = sys.stdout.write) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m interp_widgets.lab.toy_grammar", description=__doc__.split("\n")[0]
    )
    parser.add_argument("folder", type=Path, help="where models, dictionaries and reports go")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="default 0 1 2")
    parser.add_argument("--steps", type=int, default=Recipe.steps, help=f"of the training; default {Recipe.steps}")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    recipe = replace(Recipe(), steps=asked.steps)
    found = {f"seed {seed}": make(asked.folder / f"seed{seed}", seed, recipe, say) for seed in asked.seeds}
    (asked.folder / "seeds.md").write_text(report.markdown(report.side_by_side(found)) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
