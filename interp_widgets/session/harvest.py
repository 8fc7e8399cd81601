"""Any amount of text as a stream of activations: windows of tokens, a batch at a time, and which tokens count.

Memory holds one batch. A stream is the same each time it is made from the same texts, so work on it can be broken off and gone
on with: pass `skip`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, TypeVar

import torch

from ..errors import TextError
from ..progress import Progress, silent
from .masking import sink_mask
from .runner import Runner
from .session import Session, Text

T = TypeVar("T")

Texts = Iterable[Text] | Mapping[str, Iterable[Text]]
"""Texts or lists of token ids; or named sources of them, of which one text is taken in turn."""

CONTEXT = 128
"""Tokens of a window unless asked for otherwise, or fewer if the model reads fewer; the bundled dictionaries were trained on it."""

Values = dict[str, torch.Tensor]
Reduce = Callable[[Values, torch.Tensor], Any]
"""From what was read, and which tokens count [windows, positions], to what is wanted of it. Runs inside the trace."""

_POOL = 16
"""Batches whose windows are sorted by length, so that little is padding."""
TOGETHER = 8
"""Batches that share a request to a server."""


@dataclass(frozen=True)
class Window:
    """A piece of a text that is read at once, with the markers that the tokenizer puts in front."""

    ids: list[int]
    text: int
    """Number of the text in the stream, from 0."""
    start: int
    """Token of the text that the window begins with, from 0; markers do not count."""
    source: str
    """Name of the text's source; empty if it has none."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Windows read together, padded on the right to one length."""

    windows: list[Window]
    ids: torch.Tensor
    """[windows, positions] on the CPU; padding repeats a window's last token."""
    lengths: torch.Tensor
    """[windows] on the CPU"""
    markers: int
    """How many markers each window begins with."""

    @property
    def inside(self) -> torch.Tensor:
        """[windows, positions]: which tokens are text, not padding and not the markers in front."""
        positions = torch.arange(self.ids.shape[1])
        return (positions < self.lengths[:, None]) & (positions >= self.markers)


def windows(model: Session, texts: Texts, *, context: int | None = None) -> Iterator[Window]:
    """Cuts each text into windows of at most `context` tokens that do not overlap; a text's last one may be shorter.

    Raises:
        TextError: a window that is too short or too long for the model, or a single text where several were expected.
    """
    front = markers(model)
    context = context or min(CONTEXT, model.max_positions or CONTEXT)
    most = model.max_positions or context
    if not len(front) + 2 <= context <= most:
        raise TextError(f"A window can have {len(front) + 2} to {most} tokens in {model.name}, not {context}.")
    size = context - len(front)
    for number, (source, text) in enumerate(labelled(texts)):
        ids = (
            model.tokenizer(text, add_special_tokens=False)["input_ids"]
            if isinstance(text, str)
            else _checked(model, text)
        )
        for start in range(0, len(ids), size):
            yield Window(front + ids[start : start + size], number, start, source)


def batches(model: Session, texts: Texts, *, context: int | None = None, size: int = 16) -> Iterator[Batch]:
    """The windows of `texts`, `size` at a time, those of like length together."""
    yield from batched(model, windows(model, texts, context=context), size=size)


def batched(model: Session, stream: Iterable[Window], *, size: int = 16) -> Iterator[Batch]:
    """Windows that are cut already, `size` at a time, those of like length together."""
    front, stream = len(markers(model)), iter(stream)
    while pool := list(islice(stream, size * _POOL)):
        pool.sort(key=lambda window: -len(window.ids))  # stable: the order depends on the texts alone
        for at in range(0, len(pool), size):
            part = pool[at : at + size]
            longest = len(part[0].ids)
            padded = [window.ids + window.ids[-1:] * (longest - len(window.ids)) for window in part]
            yield Batch(part, torch.tensor(padded), torch.tensor([len(window.ids) for window in part]), front)


def each_batch(
    model: Session,
    stream: Iterable[Batch],
    function: Callable[..., T],
    *args: Any,
    together: int = TOGETHER,
    progress: Progress = silent,
) -> Iterator[tuple[Batch, T]]:
    """Each batch, and `function(model, batch, *args)` of it, called where the model is.

    `function` gets windows without their ids, which are in the batch. `together`: how many batches share a request to a server;
    here they are read one by one, as they are asked for. `progress` hears of a request while it is waited for.
    """
    left = iter(stream)
    while some := list(islice(left, together if model.apart else 1)):
        bare = [replace(batch, windows=[replace(window, ids=[]) for window in batch.windows]) for batch in some]
        yield from zip(some, model.work(_read_batches, bare, function, args, progress=progress), strict=True)


def _read_batches(
    model: Runner, batches: list[Batch], function: Callable[..., T], args: tuple[Any, ...], progress: Progress = silent
) -> list[T]:
    return [function(model, batch, *args) for batch in batches]


def read_batch(
    model: Runner,
    batch: Batch,
    sites: Iterable[str],
    reduce: Reduce,
    *,
    also: Iterable[str] = (),
    outliers: bool = False,
) -> Any:
    """One forward pass up to the last of `sites`; `reduce` gets what was read there, [windows, positions, ...] a site.

    Its second argument tells which tokens count, [windows, positions]: no padding, no markers, no attention sinks and no other
    outliers of the norm, by the rule of `masking` over all `sites`. Sites of `also` are read too and have no say in that; with
    `outliers` they count, and only what is known to be a sink beforehand does not.
    """
    names, others = list(sites), list(also)

    def then(values: Values) -> Any:
        norms = torch.stack([values[str(model.site(name))].flatten(2).norm(dim=-1) for name in names])
        masked = sink_mask(model, batch.ids, torch.ones_like(norms) if outliers else norms, batch.lengths)
        read = {name: values[str(model.site(name))] for name in [*names, *others]}
        return reduce(read, batch.inside.to(masked.device) & ~masked)

    return model.run(batch.ids.tolist(), [*names, *others], then=then)


def harvest(
    model: Session,
    texts: Texts,
    sites: Iterable[str],
    reduce: Reduce,
    *,
    context: int | None = None,
    size: int = 16,
    skip: int = 0,
) -> Iterator[tuple[Batch, Any]]:
    """Each batch of `texts` and what `reduce` makes of its activations (see `read_batch`).

    Args:
        context: tokens of a window, markers included; default `CONTEXT`.
        size: windows a batch; default 16.
        skip: batches at the start that are cut but not run, to go on with earlier work.
    """
    stream = islice(batches(model, texts, context=context, size=size), skip, None)
    yield from each_batch(model, stream, read_batch, list(sites), reduce)


def labelled(texts: Texts) -> Iterator[tuple[str, Text]]:
    """(source, text) pairs: sources in turn, one text each, until all are used up."""
    if isinstance(texts, str):
        raise TextError("Several texts were expected, but this is one. Put it in a list: [text].")
    if not isinstance(texts, Mapping):
        yield from (("", text) for text in texts)
        return
    left = {name: iter(source) for name, source in texts.items()}
    while left:
        for name in list(left):
            try:
                yield name, next(left[name])
            except StopIteration:
                del left[name]


def _checked(model: Session, ids: Sequence[int]) -> list[int]:
    if bad := [i for i in ids if not (isinstance(i, int) and 0 <= i < model.vocabulary_size)]:
        raise TextError(
            f"A text is a string or a list of token ids from 0 to {model.vocabulary_size - 1}; this one has {bad[0]!r}."
        )
    return list(ids)


def markers(model: Session) -> list[int]:
    """The special tokens that the tokenizer puts before a text by itself, such as `<s>`."""
    tokenizer = model.tokenizer
    ids = list(tokenizer("")["input_ids"])
    after = {tokenizer.eos_token_id, tokenizer.sep_token_id} - {tokenizer.bos_token_id}
    return ids[: next((place for place, i in enumerate(ids) if i in after), len(ids))]
