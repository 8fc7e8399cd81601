"""`iw.train_sae`: from a model and texts to a dictionary."""

from __future__ import annotations

import hashlib
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from ..errors import DictionaryError, TextError
from ..progress import Progress
from ..session.harvest import CONTEXT, Batch, Texts, Values, batches, each_batch, markers, read_batch
from ..session.masking import OUTLIER
from ..session.progress import live
from ..session.runner import Runner
from ..session.session import Session
from ..session.sites import Site, transformer_lens_name
from . import checkpoint, saelens, saelens_writing
from .dictionary import Dictionary, JumpReLU, TopK
from .files import Told
from .trainer import ACTIVATIONS, Settings, fast_bfloat16
from .training import Fitted, fit

_KINDS = ("embed", "resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_act", "mlp_out", "final_norm")
RULE = (
    "left out: padding; markers; position 0 of models known to use it as an attention sink; tokens whose norm is more than "
    f"{OUTLIER:g} times their window's median; activations more than {OUTLIER:g} times as far from the mean as the median one"
)


def train_sae(
    model: Session,
    texts: Texts,
    *,
    site: str,
    width: int,
    tokens: int,
    k: int = 32,
    activation: str = "topk",
    folder: str | Path | None = None,
    held_out: int = 4096,
    batch: int = 1024,
    buffer: int = 262_144,
    reuse: int = 1,
    learning_rate: float = 2e-3,
    context: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Dictionary:
    """Trains a sparse dictionary on what a model makes of texts at a site, and writes it as SAELens does.

    Texts are read a batch at a time and their activations go through a buffer of `buffer` x width x 2 bytes, so any amount of
    text will do; each activation is drawn from it `reuse` times at random. Mean and scale are folded into the weights: the
    dictionary reads raw activations, and its directions have norm 1. Where texts come in blocks longer than the buffer, mix
    them first; named sources are taken in turn.

    Args:
        texts: texts or lists of token ids, or named sources of them. Going on with a broken-off training needs the same again.
        site: the residual stream, attn_out, mlp_out, mlp_act, embed or final_norm.
        width: number of atoms.
        tokens: how many distinct tokens to train on; those that are left out (markers, sinks, outliers) do not count.
        k: active atoms on one token: exactly for TopK, on average for JumpReLU; default 32.
        activation: "topk" (Gao et al., arXiv:2406.04093; default) or "jumprelu" (Rajamanoharan et al., arXiv:2407.14435).
        folder: where to write cfg.json, sae_weights.safetensors and training.parquet (`frames.TRAINING`), and meanwhile a
            checkpoint each minute and on Ctrl-C, from which the same call goes on to the same end. Default: nothing is kept.
        held_out: tokens at the start of the texts that are only measured; default 4096.
        batch: activations a step; default 1024.
        buffer: activations in the buffer; default 262,144.
        reuse: how often each activation is used; default 1.
        learning_rate: Adam's largest; it rises over 2 % of the steps and falls to nothing over the last 30 %. Default 0.002.
        context: tokens of a window; default 128.
        seed: of the first weights and the order.
        progress: called after each step with (done, total, message, the last row of the history); default: a bar.

    Raises:
        SiteError: no such site.
        DictionaryError: a site or sizes that cannot be trained on, a folder of another training, or a loss that is no number.
        TextError: hardly any text, or other texts than a broken-off training had.
    """
    place = _checked(model, site, width, k, activation, batch, buffer, reuse, tokens, held_out, learning_rate)
    home = Path(folder).expanduser() if folder is not None else None
    if home is not None and (home / "cfg.json").exists():
        raise DictionaryError(
            f"{home} holds a finished dictionary. Read it with iw.load_sae, or give another folder to train a new one."
        )
    stream = Harvest(model, texts, str(place), context)
    device = torch.device("cpu") if model.apart else model.device  # the dictionary is trained on this machine
    settings = Settings(width, k, activation, learning_rate, batch, seed, fast_bfloat16(device))
    facts = {"site": str(place), "held_out": held_out, "context": context, "weights_sha256": model.weights_hash}
    with live(f"{place} of {model.name}", "token") if progress is None else nullcontext(progress) as report:
        fitted = fit(
            stream,
            lambda: stream.first(held_out),
            settings,
            tokens=tokens,
            buffer=buffer,
            reuse=reuse,
            device=device,
            folder=home,
            facts=facts,
            progress=report,
        )
    if fitted.tokens < tokens:
        warnings.warn(
            f"The texts ended after {fitted.tokens} of the {tokens} tokens asked for; training ended there, its learning rate "
            "falling faster than planned.",
            stacklevel=2,
        )
    metadata = {
        "model_name": model.name,
        "hook_name": transformer_lens_name(place),
        "prepend_bos": bool(markers(model)),
        "context_size": context or min(CONTEXT, model.max_positions or CONTEXT),
        "site": str(place),
        "model": {name: model.provenance()[name] for name in ("revision", "weights_sha256", "dtype")},
        "texts": stream.state(),
        **training_facts(settings, fitted, buffer, reuse),
        "held_out": f"the first {held_out} tokens of the texts",
    }
    return finish(home, fitted, settings, metadata)


def training_facts(settings: Settings, fitted: Fitted, buffer: int, reuse: int) -> dict[str, Any]:
    """What a dictionary's cfg.json says of its training."""
    last = fitted.history.row(-1, named=True)
    return {
        "tokens": fitted.tokens,
        "rule": RULE,
        "training": {
            **{name: getattr(settings, name) for name in ("k", "batch", "learning_rate", "seed")},
            "steps": last["step"],
            "reuse": reuse,
            "buffer": buffer,
            "products": "bfloat16" if settings.low else "float32",
            "seconds": round(last["seconds"]),
        },
        "held_out_metrics": {name: last[name] for name in ("explained_variance", "mean_active", "dead_share")},
        "made_with": {name: version(name) for name in ("interp_widgets", "torch")},
    }


def finish(home: Path | None, fitted: Fitted, settings: Settings, metadata: dict[str, Any]) -> Dictionary:
    """Writes a trained dictionary into its folder, takes the checkpoint away, and reads it as `iw.load_sae` would."""
    k = settings.k if settings.activation == "topk" else None
    if home is None:
        made: dict[str, Any] = {
            "name": metadata["site"],
            "site": metadata["site"],
            "origin": metadata,
            **fitted.tensors,
        }
        return JumpReLU(**made) if k is None else TopK(**made, k=k)
    home.mkdir(parents=True, exist_ok=True)
    fitted.history.write_parquet(home / "training.parquet")
    saelens_writing.write(home, fitted.tensors, k=k, metadata=metadata)
    (home / checkpoint.NAME).unlink(missing_ok=True)
    return saelens.read(home / saelens_writing.WEIGHTS, home.name, Told())


class Harvest:
    """The activations of texts at a site as a stream for `fit`, and a digest of the texts so far."""

    def __init__(self, model: Session, texts: Texts, site: str, context: int | None) -> None:
        self._batches = batches(model, texts, context=context)
        self._found = each_batch(model, self._batches, _counted, site, together=1)  # they are large
        self._read, self._digest = 0, b""
        self._kept: Counter[str] = Counter()
        self._inside = 0

    def first(self, count: int) -> torch.Tensor:
        """The first `count` activations, which are handed out here and nowhere else."""
        pieces = self.pieces()
        found: list[torch.Tensor] = []
        while sum(map(len, found)) < count and (piece := next(pieces, None)) is not None:
            found.append(piece)
        self._kept.clear()
        if sum(map(len, found)) < max(count, 2):
            raise TextError(
                f"The texts hold {sum(map(len, found))} tokens, not even the {count} that are to be held out. Give more text."
            )
        return torch.cat(found)[:count]

    def pieces(self) -> Iterator[torch.Tensor]:
        for batch, (rows, counts) in self._found:
            self._note(batch.ids)
            self._inside += int(batch.inside.sum())
            for window, count in zip(batch.windows, counts.tolist(), strict=True):
                self._kept[window.source] += count
            yield rows.float()

    def state(self) -> dict[str, Any]:
        return {
            "batches": self._read,
            "sha256": self._digest.hex(),
            "tokens_read": self._inside,
            "tokens_by_source": dict(self._kept),
        }

    def restore(self, state: dict[str, Any]) -> None:
        for batch in islice(self._batches, state["batches"]):
            self._note(batch.ids)
        if self._digest.hex() != state["sha256"]:
            raise TextError(
                "These texts are not the ones that the training in this folder began with. Give the same texts in the same order "
                "to go on with it, or another folder."
            )
        self._inside, self._kept = state["tokens_read"], Counter(state["tokens_by_source"])

    def _note(self, ids: torch.Tensor) -> None:
        self._read += 1
        self._digest = hashlib.sha256(self._digest + ids.numpy().tobytes()).digest()


def _counted(model: Runner, batch: Batch, site: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The activations of the tokens that count [n, d_in], in the model's precision, and how many each window has."""

    def pick(values: Values, counts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return values[site][counts].cpu(), counts.sum(1).cpu()

    return read_batch(model, batch, [site], pick)


def _checked(
    model: Session,
    site: str,
    width: int,
    k: int,
    activation: str,
    batch: int,
    buffer: int,
    reuse: int,
    tokens: int,
    held_out: int,
    learning_rate: float,
) -> Site:
    """The site, if all sizes make sense."""
    place = model.site(site)
    if place.kind not in _KINDS or place.unit is not None:
        raise DictionaryError(f"{place} cannot have a dictionary; {', '.join(_KINDS)} can.")
    if activation not in ACTIVATIONS:
        raise DictionaryError(f"{activation!r} is no activation that can be trained; {' and '.join(ACTIVATIONS)} are.")
    sizes = {"width": width, "k": k, "batch": batch, "reuse": reuse, "tokens": tokens, "held_out": held_out}
    for name, size in sizes.items():
        if not isinstance(size, int) or size < 1:
            raise DictionaryError(f"{name} must be a whole number above 0, not {size!r}.")
    if k > width:
        raise DictionaryError(f"{k} active atoms cannot be chosen from {width}. Give a larger width or a smaller k.")
    if buffer < 2 * batch:
        raise DictionaryError(
            f"A buffer of {buffer} activations cannot mix batches of {batch}; give {2 * batch} or more."
        )
    if not learning_rate > 0:
        raise DictionaryError(f"The learning rate must be above 0, not {learning_rate!r}.")
    return place
