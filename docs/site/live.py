"""The panels of the documentation, with real results: one small function each.

`panels(model)` is all that the site asks for. `python docs/site/live.py FOLDER` writes each of them there as `<name>.html`, and
a chart as `chart.html`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import interp_widgets as iw
from interp_widgets.lab import prompts, texts
from interp_widgets.lab.biographies import toy_biographies
from interp_widgets.lab.toy_grammar import pairs as toy_pairs
from interp_widgets.sae.load import bundled_corpus

SMOLLM2 = {
    "fact": "The Eiffel Tower is in the city of",
    "text": "The keys to the cabinet are on the table. She said that the house was right.",
    "again": "The captain of the Aurora met Vernon Dursley. Later that day the captain of the Aurora met Vernon",
    "clean": "When Mary and John went to the store, John gave a drink to",
    "corrupt": "When Mary and John went to the store, Mary gave a drink to",
    "answer": " Mary",
    "foil": " John",
    "steered": "I think that",
    "number": ("The keys to the old cabinet in the hall", " are"),
}
TOY = {
    "fact": "the capital of france is",
    "text": "the keys to the cabinet are on the table .",
    "again": "the cat saw the dog . the cat saw the",
    "clean": "when mary and john went to the store , john gave a drink to",
    "corrupt": "when mary and john went to the store , mary gave a drink to",
    "answer": "mary",
    "foil": "john",
    "steered": "the keys to the cabinet",
    "number": ("the keys to the cabinet", "are"),
}
ATOMS = [228, 298, 465, 703, 1336, 1740]
"""Half of those that the notebook on atoms drew at random."""


def panels(model: iw.Session) -> dict[str, Callable[[], Any]]:
    """By the name of its page, how each panel is made. Works for SmolLM2-135M and, with its words, for toy-grammar."""
    small = model.name != "smollm2-135m"
    said = TOY if small else SMOLLM2
    sae = iw.load_sae("toy-grammar/resid_post.2" if small else "smollm2-135m/15-resid-4096")
    pair = {name: said[name] for name in ("clean", "corrupt", "answer", "foil")}

    def lens() -> iw.Lens:
        return iw.Lens(model, said["fact"])

    def atoms() -> iw.Atoms:
        panel = iw.Atoms(model, said["text"], sae=sae, corpus=None if small else iw.open_corpus(bundled_corpus(sae)))
        panel.run()
        strongest = panel.frame.filter(position=len(panel.tokens) // 4)["atom"][0]
        panel.select(position=len(panel.tokens) // 4, atom=strongest)
        return panel

    def attention() -> iw.Attention:
        return iw.Attention(model, said["again"])

    def patching() -> iw.Patching:
        return iw.Patching(model, **pair)

    def patchingpairs() -> iw.PatchingPairs:
        pairs = prompts.ioi(12)
        if small:
            pairs = pairs.clear().vstack(_toy_pairs(pairs.schema))
        return iw.PatchingPairs(model, pairs, positions=[-5, -1], baseline=True)

    def steering() -> iw.Steering:
        if small:
            return iw.Steering(model, said["steered"], direction=(sae, 122), tokens=5)
        french = iw.methods.mean_difference(model, FRENCH, ENGLISH, site="resid_post.20", position=None)
        strengths = [-1, 0, 0.5, 1, 1.5]
        return iw.Steering(
            model, said["steered"], direction=french, strengths=strengths, tokens=12, answer=" le", foil=" the"
        )

    def circuit() -> iw.Circuit:
        grammar = model if small else iw.load("toy-grammar")  # where each site has a dictionary
        asked = toy_pairs.agreement_pairs(24, "rc_obj")[::2]
        panel = iw.Circuit(grammar, **{name: asked[name].to_list() for name in asked.columns}, compare=["neurons"])
        panel.run()
        strongest = panel.frame.filter(position=2, kind="atom")["node"][0]
        panel.label(strongest, "plural subject")
        panel.select(strongest)
        return panel

    def audit() -> iw.Audit:
        text, answer = said["number"]
        measured = {"sentences": [said["text"], said["again"]] * 4} if small else texts.samples()
        return iw.Audit(model, measured, sae=sae, text=text, answer=answer, tokens=1024, loss_tokens=512)

    def shift() -> iw.Shift:
        data = toy_biographies(train=80, test=80)
        others = toy_biographies(("pilot", "baker"), train=24, test=4).filter(split="balanced")["document"].to_list()
        saes = [
            iw.load_sae(f"toy-grammar/{name}") for name in ("attn_out.0", "mlp_out.0", "resid_post.0", "resid_post.1")
        ]
        toy = model if small else iw.load("toy-grammar")
        panel = iw.Shift(toy, data, site="resid_post.1", dictionaries=saes, others=others, texts=40, steps=5)
        panel.strike(
            "resid_post.0/94",
            "attn_out.0/94",
            "resid_post.0/16",
            "attn_out.0/305",
            "resid_post.1/16",
            "resid_post.1/183",
        )
        return panel

    def agreement() -> iw.Agreement:
        return iw.Agreement(model, iw.load(model.name, dtype="bfloat16"), said["fact"])

    def explorer() -> iw.Explorer:
        panel = iw.Explorer(
            model, said["clean"], sae=sae, corrupt=said["corrupt"], answer=said["answer"], foil=said["foil"]
        )
        for view in ("atoms", "attention", "patching", "lens"):  # a saved page has the parts that were opened
            panel.view = view
            panel.run()
        return panel

    def examples() -> iw.Examples:
        if small:
            corpus = iw.corpus(model, [said["text"], said["again"], said["clean"]], sae=sae)
            drawn = corpus.atoms.filter(corpus.atoms["density"] > 0)["atom"][:6].to_list()
        else:
            corpus, drawn = iw.open_corpus(bundled_corpus(sae)), ATOMS
        return iw.Examples(corpus.examples_frame(drawn, ["interval", "top"], count=3), name=sae.name)

    def chart() -> Any:
        return iw.Lens(model, said["fact"]).chart

    made = (
        lens,
        atoms,
        attention,
        patching,
        patchingpairs,
        steering,
        circuit,
        audit,
        shift,
        agreement,
        explorer,
        examples,
    )
    return {make.__name__: make for make in (*made, chart)}


FRENCH = [
    "Le chat est sur la table et",
    "Je voudrais un café avec du",
    "La maison de ma mère est",
    "Nous allons à la plage avec",
    "Il fait très beau aujourd'hui dans",
    "Les enfants jouent dans le",
    "Elle a acheté des fleurs pour",
    "Le train arrive à la gare de",
]
ENGLISH = [
    "The cat is on the table and",
    "I would like a coffee with some",
    "My mother's house is",
    "We are going to the beach with",
    "The weather is very nice today in",
    "The children are playing in the",
    "She bought some flowers for",
    "The train arrives at the station of",
]


def _toy_pairs(schema: Any) -> Any:
    """Two names either way, in words that the bundled model knows."""
    import polars as pl

    text = "when {} and {} went to the store , {} gave a drink to"
    rows = []
    for one, two in [("mary", "john"), ("john", "mary")]:
        rows.append((text.format(one, two, two), text.format(one, two, one), one, two))
        rows.append((text.format(two, one, two), text.format(two, one, one), one, two))
    return pl.DataFrame(rows, schema=schema, orient="row")


def load() -> iw.Session:
    """SmolLM2 from the cache or fetched; else the bundled model, and a sentence that says so."""
    try:
        return iw.load("smollm2-135m")
    except iw.errors.ModelUnavailable as error:
        print(error, "The pages show the small model that comes with the package instead.", sep="\n")
        return iw.load("toy-grammar")


def write(folder: Path) -> None:
    """Every panel, finished, as a file of `folder`."""
    model = load()
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in panels(model).items():
        panel = make()
        if hasattr(panel, "frame"):
            panel.frame  # noqa: B018 - waits for the result
        iw.to_html(folder / f"{name}.html", panel, title=name)
        print(f"docs: {name}", flush=True)


if __name__ == "__main__":
    import torch

    torch.set_num_threads(1)
    write(Path(sys.argv[1]))
