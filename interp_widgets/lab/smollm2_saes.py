"""The bundled dictionaries of SmolLM2-135M, made anew: texts -> activations on disk -> a dictionary a layer.

    python -m interp_widgets.lab.smollm2_saes FOLDER                    everything: 4 GB on disk, about two hours on one core
    python -m interp_widgets.lab.smollm2_saes FOLDER --tokens 100000    a trial

`iw.train_sae` reads the model for one site; here one forward pass serves both layers, and each is trained from the disk, by the
same `sae.training.fit`. Begun again in the same folder, what is finished is kept, and a training goes on from its checkpoint.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import TextError
from ..sae.dictionary import Dictionary
from ..sae.load import load_sae
from ..sae.train import finish, training_facts
from ..sae.trainer import Settings, fast_bfloat16
from ..sae.training import fit
from ..session.harvest import harvest
from ..session.load import load
from ..session.session import Session
from ..session.sites import parse, transformer_lens_name
from .texts import held_out, texts

SITES = ("resid_post.15", "resid_post.21")
PROSE = {
    *("austen", "bible", "britannica", "conversations", "factbook", "jargon"),
    *("moby-dick", "recipes", "shakespeare", "speeches", "wordnet"),
}
"""Sources that give two documents where documentation and code give one."""
TOKENS = 1_700_000
HELD_OUT = 60_000
EPOCHS = 3
CONTEXT = 128
PIECE = 8192
WIDTH, K, RATE, BATCH, SEED = 4096, 32, 2e-3, 1024, 0

Say = Callable[[str], object]


def documents(held: bool, folder: Path | None = None) -> Iterator[tuple[str, str]]:
    """(source, text): sources in turn, of those that nothing is trained on, or of the others."""
    left: dict[str, deque[str]] = {}
    for source, text in texts(folder=folder):
        if held_out(text) == held:
            left.setdefault(source, deque()).append(text)
    while left:
        for source in sorted(left):
            for _ in range(min(2 if source in PROSE else 1, len(left[source]))):
                yield source, left[source].popleft()
            if not left[source]:
                del left[source]


def gather(model: Session, stream: Iterator[tuple[str, str]], folder: Path, tokens: int, say: Say) -> dict[str, Any]:
    """Writes float16 activations [tokens, width] a site into `folder`, of tokens that count; returns what gather.json says."""
    said = folder / "gather.json"
    if said.exists():
        return dict(json.loads(said.read_text(encoding="utf-8")))
    folder.mkdir(parents=True, exist_ok=True)
    maps = {site: np.memmap(folder / f"{site}.f16", np.float16, "w+", shape=(tokens, model.width)) for site in SITES}
    of_text: list[str] = []  # the source of each text, in the order in which they were asked for
    origin: list[str] = []  # of each token

    def wanted() -> Iterator[str]:
        for source, text in stream:
            of_text.append(source)
            yield text

    def pick(values: dict[str, torch.Tensor], counts: torch.Tensor) -> tuple[torch.Tensor, dict[str, np.ndarray]]:
        return counts.cpu(), {site: values[site][counts].to(torch.float16).cpu().numpy() for site in SITES}

    at, read, digest, start = 0, 0, b"", time.monotonic()
    for number, (batch, (counts, found)) in enumerate(harvest(model, wanted(), SITES, pick, context=CONTEXT, size=32)):
        digest = hashlib.sha256(digest + batch.ids.numpy().tobytes()).digest()
        read += int(batch.inside.sum())
        kept = min(tokens - at, int(counts.sum()))
        for site in SITES:
            maps[site][at : at + kept] = found[site][:kept]
        for window, count in zip(batch.windows, counts.sum(1).tolist(), strict=True):
            origin += [of_text[window.text]] * count
        at += kept
        if number % 20 == 0:
            say(f"{at} of {tokens} tokens, {read / (time.monotonic() - start):.0f} a second\n")
        if at == tokens:
            break
    if at < tokens:
        raise TextError(f"The texts hold {at} tokens that count, not {tokens}. Fetch more sources, or ask for fewer.")
    del origin[tokens:]
    names = sorted(set(origin))
    np.save(folder / "source.npy", np.array([names.index(name) for name in origin], np.uint8))
    facts = {"names": names, "kept": at, "read": read, "sha256": digest.hex(), "dtype": model.dtype}
    said.write_text(json.dumps(facts | {"weights_sha256": model.weights_hash}), encoding="utf-8")
    return facts | {"weights_sha256": model.weights_hash}


class Stored:
    """Gathered activations as a stream for `fit`: all of them, in a new random order each time round."""

    def __init__(self, folder: Path, site: str, width: int) -> None:
        self.rows = np.memmap(folder / f"{site}.f16", np.float16, "r").reshape(-1, width)
        self._given = 0
        self._order: torch.Tensor | None = None

    def pieces(self) -> Iterator[torch.Tensor]:
        each = -(-len(self.rows) // PIECE)
        while True:
            epoch, part = divmod(self._given, each)
            if part == 0 or self._order is None:
                generator = torch.Generator().manual_seed(SEED + epoch)
                self._order = torch.randperm(len(self.rows), generator=generator)
            self._given += 1
            yield torch.from_numpy(self.rows[self._order[part * PIECE : (part + 1) * PIECE].numpy()])

    def state(self) -> dict[str, Any]:
        return {"given": self._given}

    def restore(self, state: dict[str, Any]) -> None:
        self._given = state["given"]


def train(model: Session, site: str, folder: Path, said: dict[str, Any], say: Say) -> Dictionary:
    """The dictionary of a site, written in float16, with its history, into `folder`/<layer>-resid-<width>."""
    home = folder / f"{parse(site).layer}-resid-{WIDTH}"
    if (home / "cfg.json").exists():
        return load_sae(home)
    stored = Stored(folder / "fit", site, model.width)
    held = Stored(folder / "held", site, model.width).rows
    settings = Settings(WIDTH, K, "topk", RATE, BATCH, SEED, fast_bfloat16("cpu"))
    distinct, buffer = len(stored.rows), 4 * PIECE

    def progress(done: int, total: int, message: str = "", partial: Any = None) -> None:
        if partial and done % (100 * BATCH) == 0:
            say(f"{site}: {done} of {total} tokens, {message}\n")

    fitted = fit(
        stored,
        lambda: torch.from_numpy(held[:: len(held) // 4096].copy()).float(),
        settings,
        tokens=distinct * EPOCHS,
        buffer=buffer,
        reuse=1,
        folder=home,
        facts={"site": site, **said},
        progress=progress,
    )
    metadata = {
        "model_name": "SmolLM2-135M-Instruct",
        "hook_name": transformer_lens_name(parse(site)),
        "prepend_bos": False,
        "context_size": CONTEXT,
        "site": site,
        "model": {name: said[name] for name in ("weights_sha256", "dtype")},
        "texts": {name: said[name] for name in ("sha256", "read", "names")},
        **training_facts(settings, fitted, buffer, EPOCHS),
        "tokens": distinct,
        "held_out": "documents whose sha256 divides by 20",
    }
    half = {name: tensor.half() for name, tensor in fitted.tensors.items()}
    return finish(home, replace(fitted, tensors=half), settings, metadata)


def measure(
    dictionary: Dictionary, folder: Path, site: str, names: list[str]
) -> Iterator[tuple[str, int, float, float]]:
    """(source, tokens, explained variance, active atoms) on what is held out; the variance is that within the source."""
    rows = Stored(folder, site, dictionary.d_in).rows
    origin = np.load(folder / "source.npy")
    for number, name in enumerate(names):
        x = torch.from_numpy(rows[origin == number]).float()
        if len(x) < 2:  # nothing to explain
            continue
        error, active = 0.0, 0
        for piece in x.split(1024):
            a = dictionary.encode(piece)
            error += (piece - dictionary.decode(a)).square().sum().item()
            active += int((a > 0).sum())
        yield name, len(x), 1 - error / (x - x.mean(0)).square().sum().item(), active / len(x)


def main(arguments: list[str] | None = None, say: Say = sys.stdout.write) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m interp_widgets.lab.smollm2_saes", description=__doc__.split("\n")[0]
    )
    parser.add_argument("folder", type=Path, help="where activations and dictionaries go")
    parser.add_argument("--tokens", type=int, default=TOKENS, help=f"distinct tokens to train on; default {TOKENS}")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    model = load("smollm2-135m", dtype="bfloat16")
    held = gather(model, documents(held=True), asked.folder / "held", HELD_OUT, say)
    said = gather(model, documents(held=False), asked.folder / "fit", asked.tokens, say)
    for site in SITES:
        made = train(model, site, asked.folder, said, say)
        say(f"{site}: source, held-out tokens, explained variance, active atoms\n")
        for name, count, explained, active in measure(made, asked.folder / "held", site, held["names"]):
            say(f"{name:<16}{count:>6}{explained:>7.3f}{active:>6.1f}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
