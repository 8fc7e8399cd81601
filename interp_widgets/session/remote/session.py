"""A session on a model that is on a server: its work is sent there, results come back, no weights are loaded."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any, TypeVar

import nnsight
import torch

from ...errors import AnswerGone, RemoteError
from ...progress import Progress, asking, heard
from ..architectures import Architecture
from ..runner import Runner
from ..session import Session
from .fingerprint import fingerprint
from .packing import PACKAGE, Packed, pack, restore
from .request import fetch, send
from .state import JobState, Tell, in_line
from .tickets import Ticket

nnsight.register(PACKAGE)  # functions of ours travel by their source: a server does not have them

T = TypeVar("T")
WAITING = ("received", "queued", "running")
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
        self._resumed: dict[str, Ticket] = {}
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
        call = fingerprint(function, (self, *args), more, packed.names)
        ticket = self._resumed.pop(call or "", None)
        answer = self.fetch(ticket, tell) if ticket is not None else None
        if answer is None:
            answer = self._send(function.__qualname__.rpartition(".")[2].strip("_"), packed, call, tell)
        return self._take(answer)

    def resume(self, tickets: Sequence[Ticket]) -> None:
        """From now on a request that is that of a ticket is not sent: the answer to the earlier one is asked for, once."""
        self._resumed = {ticket.call: ticket for ticket in tickets if ticket.call}

    def answer_of(self, ticket: Ticket) -> Any:
        """What the work of a ticket gave back.

        Raises:
            AnswerGone: the server keeps it no longer, or there is none.
        """
        listener = heard.get()
        answer = self.fetch(ticket, listener or (lambda state: None))
        if answer is None:
            raise AnswerGone(
                f"Job {ticket.job} found a dictionary gone that the server had kept, and was sent again as another job."
            )
        return self._take(answer)

    def fetch(self, ticket: Ticket, tell: Tell) -> Any:
        """The answer to a request that was sent before; None where nothing was computed, since something was missing there."""
        state = JobState(
            ticket.work, self.host, ticket.job, stage=ticket.state if ticket.state in WAITING else "asking"
        )
        self.jobs.append(state)
        answer = self._noting(ticket, state, lambda: fetch(self._model, self._host, state, tell))
        return None if "missing" in answer else answer

    def _take(self, answer: Any) -> Any:
        self._server = {key: answer[key] for key in ("dtype", "device")}
        return restore(answer["value"])

    def _send(self, name: str, packed: Packed, call: str | None, tell: Tell) -> Any:
        """One request; what the server keeps from earlier ones is not sent again, unless it turns out to have lost it."""
        absent = sorted(self._kept & packed.tensors.keys())
        answer = self._request(name, packed, call, absent, tell)
        if "missing" in answer:
            self._kept.clear()
            self._forgot += 1
            answer = self._request(name, packed, call, [], tell)
        if self._forgot < PATIENCE:
            self._kept |= set(answer["kept"])
        return answer

    def _request(self, name: str, packed: Packed, call: str | None, absent: list[str], tell: Tell) -> Any:
        state = JobState(name, self.host, expected=self._expected(name))
        self.jobs.append(state)
        tensors = {name: tensor for name, tensor in packed.tensors.items() if name not in absent}
        state.dictionary = sum(tensors[name].nbytes for name in packed.of_dictionaries & tensors.keys())
        ticket = Ticket("", self.host, self.source or "", self.name, name, call, asking.get())

        def tell_and_keep(state: JobState) -> None:
            if state.id and not ticket.job:
                ticket.job, ticket.up = state.id, state.up
                ticket.write()
            tell(state)

        return self._noting(
            ticket, state, lambda: send(self._model, self._host, state, packed.work, tensors, absent, tell_and_keep)
        )

    def _noting(self, ticket: Ticket, state: JobState, ask: Callable[[], Any]) -> Any:
        """Ask, and note how it ended, also in the ticket."""
        try:
            return ask()
        except RemoteError:
            state.stage, state.ended = "error", time.monotonic()
            raise
        except BaseException:  # whoever waited does so no longer
            state.stage, state.ended = "left", time.monotonic()
            raise
        finally:
            if ticket.job:
                ticket.state, ticket.seconds, ticket.down = state.stage, state.server_seconds, state.down
                ticket.write()

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
