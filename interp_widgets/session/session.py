"""A model, ready to be asked: text to tokens, tokens to activations, with or without changes on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import polars as pl
import torch

from .. import frames
from ..errors import TextError
from . import trace
from .architectures import Architecture
from .runner import Runner
from .sites import Site
from .tokens import TokenTexts

if TYPE_CHECKING:
    from .recorded.book import Book

Text = str | Sequence[int]


class Session(Runner):
    """A local model with a name for every activation. Made by `iw.load`.

    All calls may come from any thread; calls on the same underlying module wait for each other.
    """

    remote: bool | str = False
    """The server that the model is on, as `iw.load` was told: an address, or True for nnsight's own."""
    book: Book | None = None
    """Where panels note what they show, in a session that records (see `iw.record`)."""
    apart = False
    """Whether work is done elsewhere, or was done before, so that only what comes back of it is here."""
    recorded = ""
    """When the recording was made (ISO 8601) that answers in place of a model; empty where a model answers."""

    def __init__(
        self,
        name: str,
        module: torch.nn.Module,
        tokenizer: Any,
        architecture: Architecture,
        *,
        source: str | None = None,
        origin: Mapping[str, Any] | None = None,
        sink: bool = False,
    ) -> None:
        self._open(name, trace.wrap(module, tokenizer), tokenizer, architecture, source, origin, sink)
        self._lock = trace.lock_of(module)

    def _open(
        self,
        name: str,
        model: Any,
        tokenizer: Any,
        architecture: Architecture,
        source: str | None,
        origin: Mapping[str, Any] | None,
        sink: bool,
    ) -> None:
        super().__init__(model, architecture, name, frozenset(tokenizer.all_special_ids), sink)
        self.tokenizer = tokenizer
        self.texts = TokenTexts(tokenizer)
        self.source = source
        """Where a script finds the model: a directory or a hub id; None for a module made in memory."""
        self.origin = dict(origin or {})

    @property
    def torch_module(self) -> torch.nn.Module | None:
        """The model itself; None where it is on a server."""
        return self._module

    @property
    def host(self) -> str:
        """Address of the server that the model is on; empty for one that is here."""
        return ""

    def __repr__(self) -> str:
        return f"Session({self.name!r}, {self.num_layers} layers, width {self.width}, {self.dtype}, {self.device})"

    @property
    def end_ids(self) -> list[int] | int | None:
        """Tokens that the model's own generation ends a text at; None where it does not say."""
        return getattr(getattr(self._module, "generation_config", None), "eos_token_id", None)

    @property
    def model_type(self) -> str:
        """Name of the family, as transformers has it."""
        return str(self._module.config.model_type)

    # text and tokens

    def encode(self, text: Text) -> list[int]:
        """Token ids of a text, with the special tokens that the tokenizer adds by itself; a list of ids passes through.

        Raises:
            TextError: no tokens, more than the model can read, or an id outside the vocabulary.
        """
        if text == "":  # a tokenizer may make a marker of nothing
            return super().encode([])
        return super().encode(self.tokenizer(text)["input_ids"] if isinstance(text, str) else text)

    def text_of(self, token_id: int) -> str:
        """Exact text of one token; a byte that is only part of a character is written as in Python, \\xe2."""
        return self.texts[token_id]

    def tokens(self, text: Text) -> pl.DataFrame:
        """The tokens of a text: `position`, `token_id`, `token` (see `frames.TOKENS`)."""
        ids = self.encode(text)
        columns = {"position": range(len(ids)), "token_id": ids, "token": [self.text_of(i) for i in ids]}
        return frames.build(frames.TOKENS, columns)

    def single_token(self, text: str | int, role: str = "token") -> int:
        """The id of a text that is exactly one token; an id passes through.

        Raises:
            TextError: none or several tokens; the sentence shows them.
        """
        if isinstance(text, int):
            return self.encode([text])[0]
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        if len(ids) == 1 and ids[0] == self.tokenizer.unk_token_id and text != self.tokenizer.unk_token:
            raise TextError(f"The {role} {text!r} is no word of {self.name}'s vocabulary. Choose one that it knows.")
        if len(ids) == 1:
            return ids[0]
        pieces = ", ".join(repr(self.text_of(i)) for i in ids) or "no tokens"
        hint = f" With a space in front, {' ' + text!r} is one token." if self._is_one_token(" " + text) else ""
        raise TextError(f"The {role} {text!r} must be exactly one token, but it is {len(ids)}: {pieces}.{hint}")

    def _is_one_token(self, text: str) -> bool:
        return len(self.tokenizer(text, add_special_tokens=False)["input_ids"]) == 1

    def read(self, text: Text, sites: Iterable[str | Site]) -> dict[str, torch.Tensor]:
        """Activations of one text: a tensor [tokens, ...] per site, keyed by the names as given, on the model's device.

        `q.L`, `k.L`, `v.L` are [tokens, heads, head width] as the projections make them: before rotary embedding and norms of
        heads, and with `num_kv_heads` heads for k and v; `head_out.L` is the same before the output projection. With a head
        at the end, `q.L.H`, they are [tokens, head width]. `mlp_act.L` is [tokens, neurons], `mlp_act.L.N` [tokens];
        `pattern.L` is [heads, tokens, tokens]; `logits` are after any soft cap; the rest are [tokens, width].
        """
        names = list(sites)
        out = self.run([self.encode(text)], names)
        return {str(name): out[str(self.site(name))][0] for name in names}

    # provenance

    @cached_property
    def weights_hash(self) -> str | None:
        """sha256 over the names, types and bytes of all parameters, in the order of their names. Takes a second per GB.

        None where the weights are on a server.
        """
        digest = hashlib.sha256()
        for name, tensor in sorted(self._module.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
        return digest.hexdigest()

    def provenance(self) -> dict[str, Any]:
        """What a result of this session rests on: model, weights, dtype, device, backend and versions."""
        packages = ("interp_widgets", "torch", "nnsight", "transformers")
        return {
            "model": self.name,
            "source": self.source or "a module in memory",
            "revision": self.origin.get("version") or getattr(self._module.config, "_commit_hash", None),
            "origin": self.origin,
            "weights_sha256": self.weights_hash,
            "dtype": self.dtype,
            "device": str(self.device),
            "backend": "local",
            "access": "weights and activations on this machine",
            "versions": {name: version(name) for name in packages},
        }
