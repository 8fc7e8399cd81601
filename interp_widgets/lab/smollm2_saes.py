"""Dictionaries of SmolLM2-135M: texts -> activations on disk -> a dictionary a site.

    python -m interp_widgets.lab.smollm2_saes FOLDER                    the bundled ones: 4 GB on disk, two hours on one core
    python -m interp_widgets.lab.smollm2_saes FOLDER --tokens 100000    a trial
    python -m interp_widgets.lab.smollm2_saes --sites circuit --tokens 250000 --width 2048 --epochs 2
                                                                        15 sites for circuits, into the cache: 5 GB on disk, half
                                                                        an hour to an hour on one core

`iw.train_sae` reads the model for one site; here one forward pass serves all, and each is trained from the disk, by the same
`sae.training.fit`. Begun again in the same folder, what is finished is kept, and a training goes on from its checkpoint.
Activations take 1152 bytes a token and site, and may be deleted afterwards (`fit`, `held`). `trained()` says what there is.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import DictionaryError, TextError
from ..sae.dictionary import Dictionary
from ..sae.load import load_sae
from ..sae.train import finish, training_facts
from ..sae.trainer import Settings, fast_bfloat16
from ..sae.training import fit
from ..session.harvest import harvest
from ..session.known import cache_dir
from ..session.load import load
from ..session.session import Session
from ..session.sites import parse, transformer_lens_name
from .texts import held_out, texts

SITES = ("resid_post.15", "resid_post.21")
CIRCUIT = tuple(f"{kind}.{layer}" for layer in (4, 10, 16, 22, 28) for kind in ("attn_out", "mlp_out", "resid_post"))
"""What `--sites circuit` means: every sixth layer."""
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


def gather(
    model: Session, stream: Iterator[tuple[str, str]], sites: Sequence[str], folder: Path, tokens: int, say: Say
) -> dict[str, Any]:
    """Writes float16 activations [tokens, width] a site into `folder`, of tokens that count; returns what gather.json says.

    Raises:
        TextError: the texts hold fewer tokens. DictionaryError: the folder holds other sites or another number of tokens.
    """
    said = folder / "gather.json"
    if said.exists():
        before = dict(json.loads(said.read_text(encoding="utf-8")))
        if before["kept"] != tokens or not set(sites) <= set(before.get("sites", SITES)):
            raise DictionaryError(
                f"{folder} holds {before['kept']} tokens at {', '.join(before.get('sites', SITES))}. Ask for the same, or give "
                "another folder."
            )
        return before
    folder.mkdir(parents=True, exist_ok=True)
    maps = {
        site: np.memmap(folder / f"{site}.f16", np.float16, "w+", shape=(tokens, model.size(site))) for site in sites
    }
    of_text: list[str] = []  # the source of each text, in the order in which they were asked for
    origin: list[str] = []  # of each token

    def wanted() -> Iterator[str]:
        for source, text in stream:
            of_text.append(source)
            yield text

    def pick(values: dict[str, torch.Tensor], counts: torch.Tensor) -> tuple[torch.Tensor, dict[str, np.ndarray]]:
        return counts.cpu(), {site: values[site][counts].to(torch.float16).cpu().numpy() for site in sites}

    at, read, digest, start = 0, 0, b"", time.monotonic()
    for number, (batch, (counts, found)) in enumerate(harvest(model, wanted(), sites, pick, context=CONTEXT, size=32)):
        digest = hashlib.sha256(digest + batch.ids.numpy().tobytes()).digest()
        read += int(batch.inside.sum())
        kept = min(tokens - at, int(counts.sum()))
        for site in sites:
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
    facts = {
        "names": names,
        "kept": at,
        "read": read,
        "sha256": digest.hex(),
        "dtype": model.dtype,
        "weights_sha256": model.weights_hash,
        "sites": list(sites),
    }
    said.write_text(json.dumps(facts), encoding="utf-8")
    return facts


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


def home_of(site: str, folder: Path, width: int) -> Path:
    """Where the dictionary of a site is written: `folder`/15-resid-4096."""
    place = parse(site)
    return folder / "-".join(str(part) for part in (place.layer, place.kind.split("_")[0], width) if part is not None)


def train(
    model: Session, site: str, folder: Path, said: dict[str, Any], say: Say, *, width: int, k: int, epochs: int
) -> Dictionary:
    """The dictionary of a site, written in float16, with its history, where `home_of` says."""
    home = home_of(site, folder, width)
    if (home / "cfg.json").exists():
        return load_sae(home)
    stored = Stored(folder / "fit", site, model.size(site))
    held = Stored(folder / "held", site, model.size(site)).rows
    settings = Settings(width, k, "topk", RATE, BATCH, SEED, fast_bfloat16("cpu"))
    distinct, buffer = len(stored.rows), 4 * PIECE

    def progress(done: int, total: int, message: str = "", partial: Any = None) -> None:
        if partial and done % (100 * BATCH) == 0:
            say(f"{site}: {done} of {total} tokens, {message}\n")

    fitted = fit(
        stored,
        lambda: torch.from_numpy(held[:: max(1, len(held) // 4096)].copy()).float(),
        settings,
        tokens=distinct * epochs,
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
        **training_facts(settings, fitted, buffer, epochs),
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


def trained(folder: Path | str | None = None) -> dict[str, str]:
    """Site -> where its dictionary is, of all that are finished in `folder` (default: the cache), in the order of the pass; of
    several for a site the widest. What `dictionaries=` of a circuit takes: each is read when it is needed."""
    found: dict[str, tuple[int, str]] = {}
    for file in sorted(Path(folder or cached()).glob("*/cfg.json")):
        said = json.loads(file.read_text(encoding="utf-8"))
        site = said["metadata"]["site"]
        found[site] = max(found.get(site, (0, "")), (said["d_sae"], str(file.parent)))
    return {site: found[site][1] for site in sorted(found, key=lambda site: parse(site).order)}


def cached() -> Path:
    """The folder of the cache where dictionaries go unless another is given."""
    return cache_dir() / "smollm2-135m-saes"


def main(arguments: list[str] | None = None, say: Say = sys.stdout.write) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m interp_widgets.lab.smollm2_saes", description=__doc__.split("\n")[0]
    )
    parser.add_argument(
        "folder",
        type=Path,
        nargs="?",
        default=cached(),
        help="where activations and dictionaries go; default the cache",
    )
    parser.add_argument("--sites", default=",".join(SITES), help="names with commas between, or 'circuit': 15 sites")
    parser.add_argument("--tokens", type=int, default=TOKENS, help=f"distinct tokens to train on; default {TOKENS}")
    parser.add_argument("--width", type=int, default=WIDTH, help=f"atoms of each dictionary; default {WIDTH}")
    parser.add_argument("--k", type=int, default=K, help=f"active atoms on one token; default {K}")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help=f"times each token is used; default {EPOCHS}")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    model = load("smollm2-135m", dtype="bfloat16")
    named = CIRCUIT if asked.sites == "circuit" else asked.sites.split(",")
    sites = [str(model.site(name)) for name in named]
    few = min(HELD_OUT, max(BATCH, asked.tokens // 10))
    held = gather(model, documents(held=True), sites, asked.folder / "held", few, say)
    said = gather(model, documents(held=False), sites, asked.folder / "fit", asked.tokens, say)
    for site in sites:
        made = train(model, site, asked.folder, said, say, width=asked.width, k=asked.k, epochs=asked.epochs)
        say(f"{site}: source, held-out tokens, explained variance, active atoms\n")
        for name, count, explained, active in measure(made, asked.folder / "held", site, held["names"]):
            say(f"{name:<16}{count:>6}{explained:>7.3f}{active:>6.1f}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
