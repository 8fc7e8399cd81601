"""A model, ready to be asked: text to tokens, tokens to activations, with or without changes on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from importlib.metadata import version
from typing import Any

import polars as pl
import torch

from .. import frames
from ..errors import SiteError, TextError
from . import trace
from .architectures import Architecture
from .layout import Layout
from .places import envoy, place
from .sites import LAYER_KINDS, Site, parse
from .tokens import TokenTexts

Then = Callable[[dict[str, torch.Tensor]], Any]
Text = str | Sequence[int]


class Session:
    """A local model with a name for every activation. Made by `iw.load`.

    All calls may come from any thread; calls on the same underlying module wait for each other.
    """

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
        self.name = name
        self.tokenizer = tokenizer
        self.architecture = architecture
        self.torch_module = module
        self.source = source
        """Where a script finds the model: a directory or a hub id; None for a module made in memory."""
        self.origin = dict(origin or {})
        self.sink = sink
        """Position 0 is known to be an attention sink, even in a text too short to show it."""
        self._model = trace.wrap(module, tokenizer)
        self.texts = TokenTexts(tokenizer)
        self._lock = trace.lock_of(self.torch_module)
        config = self.torch_module.config.get_text_config()
        self.num_layers: int = config.num_hidden_layers
        self.num_heads: int = config.num_attention_heads
        self.layout = Layout(module, architecture, self.num_heads)
        self.width: int = config.hidden_size
        self.vocabulary_size: int = config.vocab_size
        self.max_positions: int | None = getattr(config, "max_position_embeddings", None) or getattr(
            config, "max_seq_len", None
        )
        self.softcap: float | None = getattr(config, "final_logit_softcapping", None)

    @property
    def window(self) -> int | None:
        """How many positions a token sees where every layer has the same sliding window; None: all, or layers differ."""
        config = self.torch_module.config
        types = set(getattr(config, "layer_types", None) or ["sliding_attention"])
        return getattr(config, "sliding_window", None) if types == {"sliding_attention"} else None

    def __repr__(self) -> str:
        return f"Session({self.name!r}, {self.num_layers} layers, width {self.width}, {self.dtype}, {self.device})"

    @property
    def device(self) -> torch.device:
        return next(self.torch_module.parameters()).device

    @property
    def dtype(self) -> str:
        return str(next(self.torch_module.parameters()).dtype).removeprefix("torch.")

    @property
    def num_kv_heads(self) -> int:
        """Heads with a key and a value of their own: fewer than `num_heads` where several heads share one."""
        return self.layout.kv_heads

    @property
    def head_width(self) -> int:
        return self.layout.head_width

    # text and tokens

    def encode(self, text: Text) -> list[int]:
        """Token ids of a text, with the special tokens that the tokenizer adds by itself; a list of ids passes through.

        Raises:
            TextError: no tokens, more than the model can read, or an id outside the vocabulary.
        """
        ids = list(self.tokenizer(text)["input_ids"]) if isinstance(text, str) else [int(i) for i in text]
        if not ids or text == "":
            raise TextError("The text is empty, so there is nothing to read. Type at least one character.")
        if self.max_positions and len(ids) > self.max_positions:
            raise TextError(
                f"The text has {len(ids)} tokens and {self.name} reads at most {self.max_positions}. "
                f"Shorten it by {len(ids) - self.max_positions} tokens."
            )
        if bad := [i for i in ids if not 0 <= i < self.vocabulary_size]:
            raise TextError(f"Token id {bad[0]} does not exist; {self.name} has ids 0 to {self.vocabulary_size - 1}.")
        return ids

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

    def is_special(self, token_id: int) -> bool:
        """Whether a token is a marker such as <s>, not text."""
        return token_id in self.tokenizer.all_special_ids

    # sites

    def site(self, name: str | Site) -> Site:
        """The site that a name means in this model, in any accepted spelling.

        Raises:
            SiteError: not a site, a layer, head or neuron that does not exist, or one that this architecture does not have.
        """
        site = parse(name, self.architecture)
        if site.layer is not None and not 0 <= site.layer < self.num_layers:
            raise SiteError(f"{site} does not exist: {self.name} has layers 0 to {self.num_layers - 1}.")
        if site.layer is not None and site.kind not in self.architecture.taps:
            why = {
                "resid_mid": "attention and MLP read the same stream side by side. Use resid_pre or resid_post.",
                "mlp_in": "its architecture does not say what its MLP reads. Name it: iw.Architecture(mlp_in=...).",
            }.get(
                site.kind,
                "its architecture does not say which modules make queries, keys and values. Name them: "
                "iw.Architecture(qkv=...).",
            )
            raise SiteError(f"{self.name} has no {site.kind}: {why}")
        if site.unit is not None:
            count, what = self.layout.units(site.kind)
            if not 0 <= site.unit < count:
                raise SiteError(
                    f"{site} does not exist: {self.name} has {count} {what if count > 1 else what[:-1]} a layer, "
                    "counted from 0."
                )
        return site

    def size(self, name: str | Site) -> int:
        """How many numbers a site has at each token: those of all heads or neurons together, or of the one that it names.

        Raises:
            SiteError: not a site of this model, or `pattern`, which has one number for each earlier token.
        """
        site = self.site(name)
        if site.kind == "pattern":
            raise SiteError(f"{site} has no size of its own: each head has a number for every token that it can see.")
        if site.kind == "logits":
            return self.vocabulary_size
        columns = self.layout.columns(site)
        if columns is not None:
            return columns.numel()
        return self.layout.neurons if site.kind == "mlp_act" else self.width

    def sites(self) -> list[str]:
        """All sites of this model in the order of the forward pass.

        `q.L`, `k.L`, `v.L` and `head_out.L` also take a head, as in `head_out.L.H`, and `mlp_act.L` a neuron.
        """
        kinds = [k for k in LAYER_KINDS if k in self.architecture.taps]
        inner = [str(Site(k, layer)) for layer in range(self.num_layers) for k in kinds]
        return ["embed", *inner, "final_norm", "logits"]

    # running

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

    def run(
        self,
        ids: Sequence[Sequence[int]],
        read: Iterable[str | Site] = (),
        *,
        edit: Mapping[str, trace.Edit] | None = None,
        then: Then | None = None,
        start: tuple[int, torch.Tensor] | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        inputs: Mapping[str, Any] | None = None,
        grad: bool = False,
    ) -> Any:
        """One forward pass over a batch of equally long prompts.

        Args:
            ids: token ids, [batch][tokens].
            read: sites to read, each a tensor [batch, tokens, ...].
            edit: per site a function from its activation to a new one of the same shape, called as the pass goes by. A layer's
                output may be given more rows: the batch then goes on with these.
            then: reduces the dict of what was read, inside the trace; what it returns comes back. Default: the dict.
                It may call `unembed`.
            start: `(layer, stream)`: do not run the layers below, let `layer` read `stream` [batch, tokens, width].
            logits_to_keep: how many positions from the end, or which, get logits; 0 is all.
            inputs: further arguments of the model's forward, such as those of `cache.continuation`.
            grad: whether `then` may call `torch.autograd.grad`; an edit has to put in a tensor that requires it.
        """
        layer, stream = start if start is not None else (0, None)
        if stream is not None and layer == 0:  # there is no layer below to stand in for
            edit = {"resid_pre.0": lambda _: stream, **(edit or {})}
        wanted: list[tuple[Site, trace.Edit | None]] = [(self.site(name), None) for name in dict.fromkeys(read)]
        wanted += [(self.site(name), function) for name, function in (edit or {}).items()]
        wanted.sort(key=lambda pair: (pair[0].order, pair[1] is None))  # an edited site is read after its edit
        for site, function in wanted:
            if function is not None and site.kind == "pattern":
                raise SiteError(
                    f"{site} can be read but not changed: the heads have used it by the time it is returned. "
                    f"Change head_out.{site.layer} instead."
                )
            if site.layer is not None and site.layer < layer:
                raise SiteError(f"{site} is not computed in a run that starts at layer {layer}.")
        steps = [
            trace.Step(str(site), place(self._model, self.architecture, self.layout, site, len(ids[0])), function)
            for site, function in wanted
        ]
        skip_value = (stream, None) if self.architecture.tuple_layer else stream
        tensor = torch.as_tensor(ids, device=self.device)
        arguments = {
            "input_ids": tensor,
            "attention_mask": torch.ones_like(tensor),
            "use_cache": False,
            **(inputs or {}),
        }
        with self._lock:
            return trace.forward(
                self._model,
                arguments,
                steps,
                then or (lambda values: values),
                [self._envoy(f"{self.architecture.layers}.{i}") for i in range(layer)],
                skip_value,
                stop=not any(site.kind == "logits" for site, _ in wanted),
                options={"logits_to_keep": logits_to_keep}
                if isinstance(logits_to_keep, torch.Tensor) or logits_to_keep
                else {},
                grad=grad,
            )

    def unembed(self, stream: torch.Tensor) -> torch.Tensor:
        """Logits [..., vocabulary] of a residual stream [..., width]: final norm, unembedding, soft cap. Inside `then` only."""
        return self.head(self._envoy(self.architecture.final_norm)(stream))

    def head(self, normed: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
        """Logits [..., vocabulary] of a normalised stream [..., width]. Inside `then` only.

        `out`: an earlier result of at least as many rows, whose memory is used again where the model allows it.
        """
        head = self._envoy(self.architecture.head)
        module = self.torch_module.get_submodule(self.architecture.head)
        if out is not None and type(module) is torch.nn.Linear and module.bias is None:
            rows = normed.flatten(0, -2)
            logits = torch.mm(rows, module.weight.T, out=out.flatten(0, -2)[: len(rows)]).unflatten(
                0, normed.shape[:-1]
            )
        else:
            logits = head(normed)
        return logits if self.softcap is None else logits.div_(self.softcap).tanh_().mul_(self.softcap)

    def final_norm(self, stream: torch.Tensor) -> torch.Tensor:
        """The residual stream as the unembedding sees it. Inside `then` only."""
        return self._envoy(self.architecture.final_norm)(stream)

    def token_logits(self, normed: torch.Tensor, token_ids: torch.Tensor) -> torch.Tensor:
        """Logits of some tokens only: normed [..., positions, width], token_ids [positions, m] -> [..., positions, m]."""
        head = self._envoy(self.architecture.head)
        logits = torch.einsum("...pd,pmd->...pm", normed, head.weight[token_ids])
        if getattr(head, "bias", None) is not None:
            logits = logits + head.bias[token_ids]
        return logits if self.softcap is None else self.softcap * torch.tanh(logits / self.softcap)

    def logits_of(self, normed: torch.Tensor, token_ids: Sequence[int]) -> torch.Tensor:
        """Logits [..., m] of m tokens from kept normalised streams [..., width]. Outside a run; on the CPU, float32."""
        head = self.torch_module.get_submodule(self.architecture.head)
        with torch.no_grad():
            weight = head.weight[list(token_ids)].float().cpu()
            bias = getattr(head, "bias", None)
            logits = normed.float().cpu() @ weight.T + (0 if bias is None else bias[list(token_ids)].float().cpu())
        return logits if self.softcap is None else self.softcap * torch.tanh(logits / self.softcap)

    def _envoy(self, path: str) -> Any:
        return envoy(self._model, path)

    # provenance

    @cached_property
    def weights_hash(self) -> str:
        """sha256 over the names, types and bytes of all parameters, in the order of their names. Takes a second per GB."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.torch_module.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
        return digest.hexdigest()

    def provenance(self) -> dict[str, Any]:
        """What a result of this session rests on: model, weights, dtype, device, backend and versions."""
        packages = ("interp_widgets", "torch", "nnsight", "transformers")
        return {
            "model": self.name,
            "source": self.source or "a module in memory",
            "revision": self.origin.get("version") or getattr(self.torch_module.config, "_commit_hash", None),
            "origin": self.origin,
            "weights_sha256": self.weights_hash,
            "dtype": self.dtype,
            "device": str(self.device),
            "backend": "local",
            "versions": {name: version(name) for name in packages},
        }
