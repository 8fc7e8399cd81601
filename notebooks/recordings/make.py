"""The recording that notebooks/recorded.ipynb, the docs and Binder open: every panel on SmolLM2, with what a reader would try.

    make recordings

Takes a few minutes on two cores. Write here what `recorded.ipynb` asks; its test says when the two differ.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import interp_widgets as iw
from interp_widgets.lab import prompts

OUT = Path(__file__).parent / "smollm2.recording"
FACT = "The Eiffel Tower is in the city of"
KEYS = "The keys to the cabinet are on the table."
STORE = {
    "clean": "When Mary and John went to the store, John gave a drink to",
    "corrupt": "When Mary and John went to the store, Mary gave a drink to",
    "answer": " Mary",
    "foil": " John",
}
TEXTS = {
    "towers": [
        FACT + " Paris, and it was built for the World's Fair of 1889.",
        "Big Ben is the name of the great bell in London.",
    ],
    "rooms": [
        KEYS + " Nobody knows who put them there.",
        "The books on the shelf belong to my sister, who reads a lot.",
    ],
}


def rest(panel: Any) -> Any:
    """Wait until nothing of a panel runs; complain if it failed."""
    for job in [panel._job, *panel._beside.values()]:
        if job is not None:
            job.wait()
    if panel.error:
        sys.exit(f"{type(panel).__name__}: {panel.error}")
    return panel


def press(panel: Any, **message: Any) -> None:
    """A request, as the browser sends it."""
    panel._on_message(None, message, [])
    rest(panel)


def lens(model: iw.Session) -> None:
    for text in (FACT, KEYS, STORE["clean"]):
        panel = rest(iw.Lens(model, text))
        last = len(panel.tokens) - 1
        for token in (" Paris", " London", " the") if text == FACT else ():
            press(panel, type="line", position=last, token_id=model.single_token(token))
        if text == FACT:
            press(panel, type="track", text=" Paris")


def atoms(model: iw.Session, sae: Any) -> None:
    for text, count in ((KEYS, 12), (FACT, 8)):
        panel = rest(iw.Atoms(model, text, sae=sae))
        press(panel, type="find", how="effect", query="")
        for atom in panel.find("effect")["atom"].to_list()[:count]:
            panel.atom = atom
            rest(panel)
        press(panel, type="find", how="similar", query="")


def attention(model: iw.Session) -> None:
    for text in (STORE["clean"], FACT):
        panel = rest(iw.Attention(model, text))
        for layer in panel.layers if text == FACT else ():
            panel.head = [layer, 0]
            rest(panel)


def patching(model: iw.Session) -> None:
    panel = rest(iw.Patching(model, **STORE))
    for site, layer, position in (("resid_post", 5, 10), ("resid_post", 15, 10), ("resid_post", 15, 14), ("resid_post", 28, 14),
                                  ("attn_out", 20, 14), ("mlp_out", 2, 10)):  # fmt: skip
        if position < len(panel.corrupt_tokens) and layer in panel.layers:
            panel.select(site=site, layer=layer, position=position)
            rest(panel)
    panel.select()
    for metric in ("probability", "recovery", "logit_difference"):
        panel.metric = metric
    press(panel, type="turn", direction="noise")
    rest(
        iw.Patching(
            model, clean=FACT, corrupt=FACT.replace("Eiffel Tower", "Big Ben clock"), answer=" Paris", foil=" London"
        )
    )


def pairs(model: iw.Session) -> None:
    panel = rest(iw.PatchingPairs(model, prompts.ioi(8), positions=[-5, -1]))
    for metric in ("probability", "logit_difference", "recovery"):
        panel.metric = metric
    for layer in (5, 15, 25):
        panel.select(position=panel.columns[-1]["position"], layer=layer)


def steering(model: iw.Session, sae: Any) -> None:
    panel = rest(iw.Steering(model, "I think that", direction=(sae, 2779), tokens=12))
    for strength in panel.strengths:
        press(panel, type="strength", value=strength)


def audit(model: iw.Session, sae: Any) -> None:
    panel = rest(iw.Audit(model, TEXTS, sae=sae, text=KEYS, tokens=256, loss_tokens=64))
    for column in range(0, 40, 4):
        panel.bin = column
    panel.bin = -1


def agreement(model: iw.Session) -> None:
    rest(iw.Agreement(model, iw.load("smollm2-135m", dtype="bfloat16"), FACT))


def main() -> None:
    sae = iw.load_sae("smollm2-135m/15-resid-4096")
    with iw.record(iw.load("smollm2-135m"), OUT) as model:
        lens(model)
        atoms(model, sae)
        attention(model)
        patching(model)
        pairs(model)
        steering(model, sae)
        audit(model, sae)
        agreement(model)
    print(f"{OUT.name}: {OUT.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
