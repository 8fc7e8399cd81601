"""A session on a model that is on a server: its work is sent there, results come back, no weights are loaded."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any, TypeVar

import nnsight
import torch

from ...errors import RemoteError
from ...progress import Progress, heard
from ..architectures import Architecture
from ..runner import Runner
from ..session import Session
from .packing import PACKAGE, Packed, pack, restore
from .request import send
from .state import JobState, Tell, in_line

nnsight.register(PACKAGE)  # functions of ours travel by their source: a server does not have them

T = TypeVar("T")
PATIENCE = 2
"""How often a server may have lost what it kept before nothing is left with it: it has several processes, or a fresh one for
each request."""


class RemoteSession(Session):
    """A model on an NDIF server with a name for every activation. Made by `iw.load(..., remote=...)`.

    `torch_module` is None, and `device` is "meta": what is here is the model's structure alone.
    """

    def __init__(
        self,
        name: str,
        model: Any,
        tokenizer: Any,
        architecture: Architecture,
        *,
        remote: bool | str,
        source: str,
        origin: Mapping[str, Any] | None = None,
        sink: bool = False,
    ) -> None:
        self._open(name, model, tokenizer, architecture, source, origin, sink)
        self.remote = remote
        self._host = remote if isinstance(remote, str) else None
        self._server = {"dtype": "unknown", "device": "unknown"}
        self._kept: set[str] = set()
        self._forgot = 0
        self.jobs: list[JobState] = []
        """Every request of this session, the newest last."""

    @property
    def torch_module(self) -> torch.nn.Module | None:
        """None: the weights are on the server."""
        return None

    @property
    def weights_hash(self) -> None:  # type: ignore[override]
        """None: the weights are on the server."""
        return None

    @property
    def host(self) -> str:
        """Address of the server."""
        return self._host or str(nnsight.CONFIG.API.HOST)

    @property
    def dtype(self) -> str:
        """Type of the weights on the server, as its last answer said."""
        return self._server["dtype"]

    def __repr__(self) -> str:
        return f"RemoteSession({self.name!r}, {self.num_layers} layers, width {self.width}, on {self.host})"

    def work(self, function: Callable[..., T], *args: Any, **more: Any) -> T:
        """`function(model, *args, **more)` on the server, as one request.

        A panel's job hears how it is doing, else `progress`, where it is given. Raising there stops waiting for it. The server has
        no way to be told: what it has begun it ends, and nobody fetches the answer.

        Raises:
            RemoteError: the job did not come to its end; says why and what to do.
        """
        progress: Progress | None = more.pop("progress", None)
        listener = heard.get()

        def tell(state: JobState) -> None:
            if listener is not None:
                listener(state)
            elif progress is not None:
                progress(0, 0, in_line(state))

        packed = pack(function, (self, *args), more)
        answer = self._send(function.__qualname__.rpartition(".")[2].strip("_"), packed, tell)
        self._server = {key: answer[key] for key in ("dtype", "device")}
        return restore(answer["value"])

    def _send(self, name: str, packed: Packed, tell: Tell) -> Any:
        """One request; what the server keeps from earlier ones is not sent again, unless it turns out to have lost it."""
        absent = sorted(self._kept & packed.tensors.keys())
        answer = self._request(name, packed, absent, tell)
        if "missing" in answer:
            self._kept.clear()
            self._forgot += 1
            answer = self._request(name, packed, [], tell)
        if self._forgot < PATIENCE:
            self._kept |= set(answer["kept"])
        return answer

    def _request(self, name: str, packed: Packed, absent: list[str], tell: Tell) -> Any:
        state = JobState(name, self.host, expected=self._expected(name))
        self.jobs.append(state)
        tensors = {name: tensor for name, tensor in packed.tensors.items() if name not in absent}
        state.dictionary = sum(tensors[name].nbytes for name in packed.of_dictionaries & tensors.keys())
        try:
            return send(self._model, self._host, state, packed.work, tensors, absent, tell)
        except RemoteError:
            state.stage, state.ended = "error", time.monotonic()
            raise

    def _expected(self, name: str) -> float | None:
        """Median of the server's seconds of the last requests for this work."""
        last = [job.server_seconds for job in self.jobs if job.work == name and job.server_seconds is not None][-5:]
        return median(last) if last else None

    def run(self, *args: Any, **more: Any) -> Any:
        """One forward pass on the server, see `Runner.run`. What `then` gives back is what travels."""
        return self.work(Runner.run, *args, **more)

    def logits_of(self, normed: torch.Tensor, token_ids: Sequence[int]) -> torch.Tensor:
        return self.work(Runner.logits_of, normed, list(token_ids))

    def provenance(self) -> dict[str, Any]:
        """What a result of this session rests on. The weights are the server's: their hash is not known."""
        return {
            **super().provenance(),
            "device": f"{self._server['device']} on the server",
            "backend": f"NDIF at {self.host}",
            "access": "weights and activations on the server; what comes back are results",
        }
