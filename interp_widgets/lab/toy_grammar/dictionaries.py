"""The thirteen dictionaries of toy-grammar: one reading of the model, then the package's own training, site by site."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...sae.dictionary import Dictionary
from ...sae.load import load_sae
from ...sae.train import finish, training_facts
from ...sae.trainer import Settings
from ...sae.training import Fitted, fit
from ...session.session import Session
from ...session.sites import parse, transformer_lens_name
from ..smollm2_saes import Stored
from . import concepts

SITES = {"embed": "embed"} | {
    f"{short}.{layer}": f"{kind}.{layer}"
    for layer in range(4)
    for short, kind in {"attn": "attn_out", "mlp": "mlp_out", "resid": "resid_post"}.items()
}
"""Folder -> site."""
SENTENCES, HELD_OUT, EPOCHS = 16_000, 1000, 7
WIDTH, K, RATE, BATCH, SEED = 384, 8, 2e-3, 1024, 0
NUMBERED = {
    "embed": {353: "plural noun"},
    "resid.2": {122: "next is a pronoun"},
    "resid.3": {
        **{366: "false claim", 306: "next is a singular verb", 139: "next is a plural verb"},
        **{122: "next is she or her", 247: "next is he or his"},
    },
}
"""Atoms have no order. Those that tell these concepts best get the numbers by which the documentation calls them."""

Say = Callable[[str], object]


def gather(model: Session, texts: Sequence[str], folder: Path) -> int:
    """Writes float16 activations [words, width] a site into `folder`, of all words but `<s>`; returns how many there are."""
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, list[np.ndarray]] = {site: [] for site in SITES.values()}
    for first in range(0, len(texts), 1000):
        for site, rows in concepts.read(model, texts[first : first + 1000], SITES.values()).values.items():
            found[site].append(rows.to(torch.float16).numpy())
    for site, pieces in found.items():
        np.concatenate(pieces).tofile(folder / f"{site}.f16")
        count = sum(map(len, pieces))
    return count


def train(model: Session, home: Path, name: str, activations: Path, count: int, say: Say) -> Dictionary:
    """The dictionary of a site, in float16, in `home`/`name`; one that is there is kept."""
    if (home / name / "cfg.json").exists():
        return load_sae(home / name)
    site = SITES[name]
    held = Stored(activations / "held", site, model.width).rows
    settings = Settings(WIDTH, K, "topk", RATE, min(BATCH, count), SEED, low=False, outlier=math.inf)
    fitted = fit(
        Stored(activations / "fit", site, model.width),
        lambda: torch.from_numpy(held[:: max(1, len(held) // 4096)].copy()).float(),
        settings,
        tokens=count * EPOCHS,
        buffer=4 * BATCH,
        reuse=1,
        folder=home / name,
        facts={"site": site, "weights_sha256": model.weights_hash},
    )
    tensors = _numbered(model, name, fitted, settings)
    half = {key: tensor.half() for key, tensor in tensors.items()}
    metadata: dict[str, Any] = {
        "model_name": "toy-grammar",
        "hook_name": transformer_lens_name(parse(site)),
        "prepend_bos": True,
        "context_size": model.max_positions,
        "site": site,
        "model": {"weights_sha256": model.weights_hash, "dtype": model.dtype},
        **training_facts(settings, fitted, 4 * BATCH, EPOCHS),
        "tokens": count,
        "rule": "left out: the marker in front; large activations count, some claims have them",
        "held_out": f"{HELD_OUT} sentences of held-out combinations",
        "numbered": {str(atom): concept for atom, concept in NUMBERED.get(name, {}).items()},
    }
    made = finish(home / name, replace(fitted, tensors=half), settings, metadata)
    (home / name / "training.parquet").unlink()  # cfg.json says how it ended
    say(f"{site}: {json.dumps(metadata['held_out_metrics'])}\n")
    return made


def _numbered(model: Session, name: str, fitted: Fitted, settings: Settings) -> dict[str, torch.Tensor]:
    """The tensors of a dictionary with its atoms in the order that NUMBERED asks for."""
    wanted, tensors = NUMBERED.get(name, {}), fitted.tensors
    if not wanted:
        return tensors
    bare = finish(None, fitted, settings, {"site": SITES[name]})
    reading = concepts.read(model, [text for _, text in concepts.mixed(2000, "numbers")], [SITES[name]])
    best = concepts.best_atoms(bare, reading.values[SITES[name]], reading.labels(), wanted.values())
    order = [atom for atom in range(WIDTH) if atom not in best]
    for number, atom in sorted(zip(wanted, best, strict=True)):
        order.insert(number, atom)
    return {
        "W_enc": tensors["W_enc"][:, order].contiguous(),
        "b_enc": tensors["b_enc"][order],
        "W_dec": tensors["W_dec"][order],
        "b_dec": tensors["b_dec"],
    }


def dictionaries(model: Session, folder: Path, say: Say) -> dict[str, Dictionary]:
    """All of them, by folder; in `folder`/saes, with what they were trained on in `folder`/activations."""
    activations = folder / "activations"
    held = [text for _, text in concepts.mixed(HELD_OUT, "held out", held=True)]
    gather(model, held, activations / "held")
    count = gather(model, [text for _, text in concepts.mixed(SENTENCES, "dictionaries")], activations / "fit")
    return {name: train(model, folder / "saes", name, activations, count, say) for name in SITES}
