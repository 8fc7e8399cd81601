"""Where every atom of a dictionary fires in any amount of text: one forward pass a batch, all atoms at once.

What is seen of an atom depends on what is kept of it, and the strongest examples alone mislead (Bolukbasi et al.,
arXiv:2104.07143; Bills et al. 2023 show random ones too). So every event is kept, up to a bound, and any choice of
examples can be made afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sized
from importlib.metadata import version
from itertools import islice, takewhile
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import torch

from ..errors import CorpusError, DictionaryError, TextError
from ..progress import Progress, silent
from ..sae.corpus.folder import WINDOW
from ..sae.corpus.reader import Corpus
from ..sae.corpus.store import Store, digest
from ..sae.dictionary import Dictionary
from ..sae.fits import check_fits
from ..session.harvest import Batch, Texts, Values, batches, each_batch, read_batch
from ..session.runner import Runner
from ..session.session import Session

MOST = 50_000
"""Events kept of an atom unless asked for otherwise."""
TEMPORARY = "iw-corpus-"
"""How the names of temporary folders begin."""
MASKED = "padding, markers that the tokenizer puts in front, attention sinks and other outliers of the norm"


def corpus(
    model: Session,
    texts: Texts,
    *,
    sae: Dictionary,
    folder: str | Path | None = None,
    context: int | None = None,
    tokens: int | None = None,
    batch: int = 16,
    most: int = MOST,
    progress: Progress = silent,
) -> Corpus:
    """Streams texts through the model and keeps where every atom of `sae` fired.

    Runs to the end of `texts` or to `tokens`. It commits every 2 seconds, or after each batch that takes longer. Broken off,
    by Ctrl-C or by `progress`, it goes on where it was when called again with the same folder and the same texts from their
    start (a stream must be made anew). A finished folder is opened.

    What counts as a token is text that is not masked. Padding, markers, attention sinks and other outliers of the norm have no
    events and are in no number; text among them is shown as context.

    Args:
        model: a session.
        texts: texts or lists of token ids, of any number, or named sources of them; see docs/corpus.md.
        sae: a dictionary that was trained on this model, at `sae.site`.
        folder: where to keep the corpus. Default: a temporary folder, which is gone with the returned object; `save` keeps it.
        context: tokens of a window that the model reads at once, markers included; default 128, or fewer if the model reads fewer.
        tokens: stop when this many tokens count; default: at the end of the texts.
        batch: windows a forward pass; default 16.
        most: events kept of an atom. Of an atom that fires more often the strongest half and a uniform sample are kept, and its
            count, mean and maximum stay exact. It bounds the disk: 12 bytes an event while it runs (twice `most` at worst) and
            8 bytes after. Default 50,000.
        progress: called after each batch as (tokens, tokens asked for) if `tokens` is given, else as (texts, all texts) if their
            number is known; `partial` is the corpus so far, which can be asked anything.

    Raises:
        SiteError, DictionaryError: the dictionary does not fit the model.
        TextError: a text that cannot be cut, or a number that makes no sense.
        CorpusError: the folder is of something else, in use, or cannot be written; or the texts are not those it began with.
    """
    check_fits(model, sae)
    if min(batch, most, 1 if tokens is None else tokens) < 1:
        raise TextError(f"batch, most and tokens must be above 0, not {batch}, {most} and {tokens}.")
    where = Path(folder or mkdtemp(prefix=TEMPORARY)).expanduser()
    about = identity(model, sae) | {"context": context, "batch": batch, "asked": tokens, "most": most}
    with Store(where, about, model.text_of) as store:
        found = Corpus(where, temporary=not folder)
        _stream(model, texts, sae, store, found, progress)
    return found


def identity(model: Session, sae: Dictionary) -> dict[str, Any]:
    """What a corpus is of: the model and dictionary, by name and by weights."""
    return {
        "model": model.name,
        "weights_sha256": model.weights_hash,
        "sae": sae.name,
        "sae_sha256": sae.sha256(),
        "site": str(model.site(sae.site)),
        "width": sae.width,
        "masked": MASKED,
        "versions": {name: version(name) for name in ("interp_widgets", "torch", "nnsight", "transformers")},
    }


def _stream(model: Session, texts: Texts, sae: Dictionary, store: Store, found: Corpus, progress: Progress) -> None:
    asked, known = store.about["asked"], _number(texts)
    done, expected = store.read
    stream = batches(model, texts, context=store.about["context"], size=store.about["batch"])
    so_far, read = "", 0
    for batch in islice(stream, done):
        so_far = digest(so_far, *_cut(batch))
        progress(0, 0, "finding the place where it was left", found)
    if so_far != expected or (store.ended and not store.full and next(stream, None) is not None):
        raise CorpusError(
            f"{store.folder} was begun with other texts, or with the same in another order or number. "
            "Give the same texts from their start, or another folder."
        )
    wanted = takewhile(lambda _: not (store.ended or store.full), stream)
    for batch, found_there in each_batch(model, wanted, _events, sae, progress=progress):
        if store.ended or store.full:  # it came with others that were wanted
            break
        windows, sources, ids = _cut(batch)
        left = asked - store.tokens if asked else None
        store.append(windows, sources, ids, *_checked(batch, sae, left, *found_there))
        if store.due:
            store.commit()
        read = max(read, int(windows["text"].max()) + 1)
        try:
            message = f"{store.tokens:,} of {asked:,} tokens" if asked else f"{store.tokens:,} tokens"
            progress(store.tokens if asked else read, asked or known or 0, message, found)
        except BaseException:
            store.commit()  # nothing is half done here, so nothing need be lost
            raise
    if not store.complete:
        store.finish()


def _cut(batch: Batch) -> tuple[np.ndarray, list[str], np.ndarray]:
    """The windows of a batch as records, their sources, and the ids of their text, one after another."""
    rows = [(w.text, 0, w.start, len(w.ids) - batch.markers) for w in batch.windows]
    ids = np.array([i for w in batch.windows for i in w.ids[batch.markers :]], np.int32)
    return np.array(rows, WINDOW), [w.source for w in batch.windows], ids


def _events(model: Runner, batch: Batch, sae: Dictionary) -> tuple[torch.Tensor, ...]:
    """One forward pass: which tokens count, and of each event the number among these, atom and activation."""

    def reduce(values: Values, counts: torch.Tensor) -> tuple[torch.Tensor, ...]:
        a = sae.encode(values[sae.site][counts])
        row, atom = a.nonzero(as_tuple=True)
        return counts.cpu(), row.int().cpu(), atom.int().cpu(), a[row, atom].float().cpu()

    return read_batch(model, batch, [sae.site], reduce)


def _checked(
    batch: Batch,
    sae: Dictionary,
    left: int | None,
    counts: torch.Tensor,
    row: torch.Tensor,
    atom: torch.Tensor,
    activation: torch.Tensor,
) -> tuple[np.ndarray, ...]:
    """Which tokens of the batch's text count, at most `left`, and token, atom and activation of each event."""
    if left is not None:
        counts, kept = counts & (counts.flatten().cumsum(0).view_as(counts) <= left), row < left
        row, atom, activation = row[kept], atom[kept], activation[kept]
    if not (torch.isfinite(activation) & (activation > 0)).all():
        raise DictionaryError(
            f"{sae.name} gave activations that are not finite, or below 0, so no statistic would mean anything. "
            "Check that it was trained on this model; try dtype='float32'."
        )
    inside = counts[batch.inside].numpy()
    return inside, np.flatnonzero(inside)[row.numpy()], atom.long().numpy(), activation.numpy()


def _number(texts: Texts) -> int | None:
    """How many texts there are, where that is known."""
    sources = list(texts.values()) if isinstance(texts, Mapping) else [texts]
    sizes = [len(source) for source in sources if isinstance(source, Sized)]
    return sum(sizes) if len(sizes) == len(sources) else None
