"""What goes wrong between here and a server, each in a sentence with what to do."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import zstandard
from nnsight.intervention.backends.remote import RemoteError as JobError
from pydantic import ValidationError

from ... import errors
from ...errors import InterpError, KeyRefused, ModelNotServed, RemoteError, ServerUnavailable

AGAIN = "What was there is kept; run it again when you like."
KEY = "Set NDIF_API_KEY, or call nnsight.login() once; a key is never kept by interp_widgets."
FRAME = re.compile(r'File "\[[^\]]*\] (?P<file>[^"]+)", line (?P<line>\d+), in (?P<function>.+)')
"""A frame of code that was sent, which nnsight names so."""
LAST = re.compile(r"^(?P<kind>[A-Za-z_][\w.]*)(?:: (?P<text>.*))?$", re.DOTALL)
PACKAGE = Path(__file__).parents[2]


@contextmanager
def in_words(host: str) -> Iterator[None]:
    """Turns what a request raises into `RemoteError`; errors of this package pass."""
    try:
        yield
    except InterpError:
        raise
    except JobError as error:
        raise _of_job(host, error) from error
    except httpx.HTTPError as error:
        raise _of_link(host, error) from error
    except (
        ValidationError,
        ValueError,
        KeyError,
        EOFError,
        zstandard.ZstdError,
        pickle.UnpicklingError,
        RuntimeError,
    ) as error:
        raise ServerUnavailable(
            f"{host} answered what no NDIF server says ({type(error).__name__}). Check the address and the versions of nnsight on "
            f"both sides. {AGAIN}"
        ) from error


def _of_link(host: str, error: httpx.HTTPError) -> RemoteError:
    """Nothing came back, or a refusal."""
    if isinstance(error, httpx.HTTPStatusError):
        return _of_status(host, error.response.status_code, error.response.text)
    if isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout):
        return ServerUnavailable(f"{host} did not take the connection within 10 s. Is the address right? {AGAIN}")
    if isinstance(error, httpx.TimeoutException):
        return ServerUnavailable(f"{host} took the request and did not answer in time. {AGAIN}")
    if isinstance(error, httpx.ConnectError):
        return ServerUnavailable(
            f"There is no server at {host}: it is down, or the address is wrong. See docs/remote.md for how to start one. {AGAIN}"
        )
    return ServerUnavailable(f"{host} broke off the connection ({type(error).__name__}). {AGAIN}")


def _of_status(host: str, code: int, text: str) -> RemoteError:
    if code in (401, 403):
        return KeyRefused(f"{host} {'wants an API key' if code == 401 else 'does not accept the API key'}. {KEY}")
    if code == 400 and "key" in text.lower():
        return KeyRefused(f"{host} says that the API key is malformed. {KEY}")
    if code in (502, 503, 504):
        return ServerUnavailable(f"{host} is there, but its models are not reachable just now (HTTP {code}). {AGAIN}")
    return ServerUnavailable(f"{host} refused the request (HTTP {code}). {AGAIN}")


def _of_job(host: str, error: JobError) -> InterpError:
    """What the server says of a job, or nnsight of sending it."""
    if isinstance(error.__cause__, httpx.HTTPError):
        return _of_link(host, error.__cause__)
    text = str(error).strip()
    if any(words in text for words in ("Could not deploy this model", "could not be deployed", "Error starting model")):
        return ModelNotServed(
            f"{host} does not have this model and cannot load it. iw.models(remote=...) lists what it has. It says: {_short(text)}"
        )
    if "Traceback" not in text:
        return RemoteError(f"The server ended the job: {_short(text)} {AGAIN}")
    return _of_traceback(text)


def _of_traceback(text: str) -> InterpError:
    """An error inside the work: its last line, and the place in the caller's code, not the server's."""
    frames = [found.groupdict() for found in FRAME.finditer(text)]
    last = text[text.rindex("\n  File") :] if "\n  File" in text else text
    lines = last.splitlines()
    at = next((i for i, line in enumerate(lines) if i and line and not line.startswith(" ")), len(lines) - 1)
    said = LAST.match("\n".join(lines[at:]))
    kind, message = (said["kind"], said["text"] or "") if said else ("Error", lines[-1])
    ours = getattr(errors, kind.rpartition(".")[2], None)
    if kind.startswith(PACKAGE.name) and isinstance(ours, type) and issubclass(ours, InterpError):
        return ours(message)
    if kind == "ModuleNotFoundError" and (name := re.search(r"'([\w.]+)'", message)):
        return RemoteError(
            f"The server does not have {name[1]}. If it is a module of yours, call nnsight.register({name[1]!r}) before, so that "
            f"it is sent along. {AGAIN}"
        )
    theirs = [frame for frame in frames if PACKAGE not in Path(frame["file"]).parents]
    where = "".join(
        f" in {at['function']}, {Path(at['file']).name} line {at['line']}" for at in (theirs or frames)[-1:]
    )
    return RemoteError(f"The work failed on the server{where}: {kind.rpartition('.')[2]}: {_short(message)} {AGAIN}")


def _short(text: str, most: int = 300) -> str:
    line = " ".join(text.split())
    line = line if len(line) <= most else f"{line[: most - 1]}…"
    return line if line.endswith((".", "!", "?", "…")) else f"{line}."
