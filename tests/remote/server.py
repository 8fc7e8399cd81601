"""A real NDIF server on this machine, without a GPU, for tests: redis, an S3 stand-in, Ray, NDIF's controller and its API.

    python -m tests.remote.server install | start | stop

It has no authentication and runs the code that is sent to it. Everything listens on 127.0.0.1 only.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.remote import processes
from tests.remote.environment import HERE, SIZE, ServerError, folder, install, installed, last_lines, scripts

MARK = "IW_NDIF_RUN"
"""Each process of a server has this variable in its environment; its value is new at each start."""

PORTS = ("redis", "store", "ray", "ray_client", "dashboard", "agent", "api")
_FOREIGN = ("AWS_", "HF_", "NDIF_", "NNSIGHT_", "PYTHON", "RAY_", "TRANSFORMERS_")  # settings of other people's servers
# What the controller places models on. It asks for a GPU; this one does not exist, and the models use none.
_RESOURCES = {"head": 10, "cuda_memory_bytes": 8_000_000_000, "cpu_memory_bytes": 8_000_000_000}


@dataclass(frozen=True)
class Server:
    """One server. Its fields are kept in `run.json`, so that another process can stop it."""

    mark: str
    ports: Mapping[str, int]
    results_port: int
    ray: str
    """Ray's own folder. Short, since Ray keeps Unix sockets deep in it and their whole path must stay below 108 bytes."""
    _children: list[subprocess.Popen[bytes]] = field(default_factory=list, repr=False)
    _guards: list[subprocess.Popen[bytes]] = field(default_factory=list, repr=False)

    @property
    def host(self) -> str:
        """What a client is given."""
        return self.url("api")

    @property
    def logs(self) -> Path:
        return folder() / "logs"

    def url(self, service: str) -> str:
        return f"http://127.0.0.1:{self.ports[service]}"

    def stop(self) -> None:
        """End each process of this server, keep Ray's logs, and remove what else it wrote."""
        alive = processes.end(**{MARK: self.mark})
        for child in self._children:
            child.poll()
        if alive:
            raise ServerError(
                f"These processes of the NDIF server would not end: {sorted(alive, key=lambda p: p.pid)}."
            )
        kept = Path(self.ray) / "session_latest" / "logs"
        with contextlib.suppress(OSError, shutil.Error):
            shutil.copytree(kept, self.logs / "ray", dirs_exist_ok=True)
        shutil.rmtree(self.ray, ignore_errors=True)
        _note().unlink(missing_ok=True)
        for guard in self._guards:
            guard.communicate(timeout=60)

    def start_api(self) -> None:
        """Start the API and wait until its dispatcher has reached Ray."""
        self._await_api(self._spawn_api())

    def stop_api(self) -> None:
        """End the API and its dispatcher. Ray and the models stay up."""
        processes.end(**{MARK: self.mark, "NDIF_SERVICE": "api"})
        for child in self._children:
            child.poll()
        with socket.create_connection(("127.0.0.1", self.ports["redis"]), timeout=5) as redis:
            redis.sendall(b"DEL ray:connected\r\n")  # the dispatcher's word that it has reached Ray, now out of date
            redis.recv(64)

    def kill_model_actor(self) -> None:
        """Kill the processes that hold models, as the system does when memory runs out. Ray starts them again."""
        actors = {p for p in processes.carrying(**{MARK: self.mark}) if _command(p).startswith("ray::CPUModelActor")}
        if not actors:
            raise ServerError("No model is deployed, so there is no model actor to kill.")
        processes.kill(actors)

    def _start(self) -> None:
        redis = ["--bind", "127.0.0.1", "--port", str(self.ports["redis"]), "--dir", str(folder())]
        redis += ["--save", "", "--appendonly", "no"]
        redis += ["--set-proc-title", "no"]  # a new title would overwrite the mark
        started = self._spawn("redis", "redis-server", *redis)
        store = self._spawn("store", "moto_server", "-H", "127.0.0.1", "-p", str(self.ports["store"]))
        self._wait("redis", lambda: listens(self.ports["redis"]), started, seconds=20)

        ray = ["start", "--head", "--node-ip-address=127.0.0.1", "--num-cpus=4", "--num-gpus=1"]
        ray += [f"--port={self.ports['ray']}", f"--ray-client-server-port={self.ports['ray_client']}"]
        ray += ["--include-dashboard=true", "--dashboard-host=127.0.0.1", f"--dashboard-port={self.ports['dashboard']}"]
        ray += [f"--dashboard-agent-listen-port={self.ports['agent']}", "--min-worker-port=0", "--max-worker-port=0"]
        ray += ["--object-store-memory=100000000", f"--temp-dir={self.ray}", f"--resources={json.dumps(_RESOURCES)}"]
        self._finish("ray", "ray", *ray, "--disable-usage-stats")
        # The bucket is made here: when the store is slow to take the first status of a job, the status may overwrite a later one.
        self._wait("store", lambda: _answers(f"{self.url('store')}/ndif-results", method="PUT"), store, seconds=60)
        api = self._spawn_api()  # importing takes it as long as the controller takes
        controller = "ndif.services.ray.deployments.controller.controller"
        self._finish("controller", "python", "-m", controller, RAY_ADDRESS=f"127.0.0.1:{self.ports['ray']}")
        self._await_api(api)

    def _spawn_api(self) -> subprocess.Popen[bytes]:
        options = ["--config", "python:ndif.services.api.gunicorn_conf", "--bind", f"127.0.0.1:{self.ports['api']}"]
        return self._spawn("api", "gunicorn", *options, "ndif.services.api.app:app", NDIF_SERVICE="api")

    def _await_api(self, process: subprocess.Popen[bytes]) -> None:
        # /ping would answer some ten seconds earlier, while every request is still refused.
        self._wait("api", lambda: _answers(f"{self.host}/connected"), process, seconds=300)

    def _environment(self) -> dict[str, str]:
        """What every process of the server is told, beside what this one was, without other settings of the same kinds."""
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(_FOREIGN) and not name.lower().endswith("_proxy")
        }
        return (
            inherited
            | {
                MARK: self.mark,
                "PATH": f"{scripts()}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
                "PYTHONPATH": str(HERE / "on_server"),
                "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
                "HF_HUB_OFFLINE": "1",
                "HF_HOME": str(folder() / "hf"),
                "GRPC_ENABLE_FORK_SUPPORT": "0",  # else Ray's client servers often die when they are forked, as NDIF's scripts say
                "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # else Ray listens on all interfaces, whatever address it is given
                "RAY_USAGE_STATS_ENABLED": "0",
                "NDIF_SERVICE": "ray",
                "NDIF_HOME": str(folder() / "home"),
                "NDIF_API_URL": self.host,
                "NDIF_REDIS_URL": f"redis://127.0.0.1:{self.ports['redis']}",
                "NDIF_RAY_ADDRESS": f"ray://127.0.0.1:{self.ports['ray_client']}",
                "NDIF_RAY_HEAD_PORT": str(self.ports["ray"]),
                "NDIF_OBJECT_STORE_URL": self.url("store"),
                "NDIF_OBJECT_STORE_PUBLIC_URL": f"http://127.0.0.1:{self.results_port}",
                "NDIF_OBJECT_STORE_ACCESS_KEY": "test",
                "NDIF_OBJECT_STORE_SECRET_KEY": "test",
                "NDIF_CONTROLLER_IMPORT_PATH": "cpu_actor.CPUController",
                "NDIF_DEFAULT_MODEL_ACTOR_CLASS": "cpu_actor.CPUModelActor",
                "NDIF_DEFAULT_DTYPE": "float32",
                "NDIF_DEFAULT_PADDING_BIAS": "0",
                "NDIF_MINIMUM_DEPLOYMENT_TIME_SECONDS": "0",
                "NDIF_AUTOSCALING_MAX_REPLICAS": "1",
            }
        )

    def _spawn(self, step: str, program: str, *arguments: str, **variables: str) -> subprocess.Popen[bytes]:
        """Start a program that stays, with its output in the log of its step."""
        environment = self._environment() | variables
        with (self.logs / f"{step}.log").open("ab") as log:
            process = subprocess.Popen(
                [shutil.which(program, path=environment["PATH"]) or program, *arguments],
                env=environment,
                cwd=folder(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C in the terminal is for whoever started the server
            )
        self._children.append(process)
        return process

    def _finish(self, step: str, program: str, *arguments: str, **variables: str) -> None:
        """Run a program that ends once its part of the server is up."""
        process = self._spawn(step, program, *arguments, **variables)
        try:
            code = process.wait(timeout=300)
        except subprocess.TimeoutExpired:
            raise self._failure(step, "was not done after 300 seconds") from None
        if code:
            raise self._failure(step, f"ended with code {code}")

    def _wait(self, step: str, ready: Callable[[], bool], process: subprocess.Popen[bytes], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not ready():
            if process.poll() is not None:
                raise self._failure(step, f"ended with code {process.returncode}")
            if time.monotonic() > deadline:
                raise self._failure(step, f"was not ready after {seconds:.0f} seconds")
            time.sleep(0.3)

    def _failure(self, step: str, what: str) -> ServerError:
        log = self.logs / f"{step}.log"
        return ServerError(f"The NDIF server's {step} {what}. The last lines of {log}:\n{last_lines(log.read_text())}")


def start(port: int | None = None, results_port: int | None = None, guarded: bool = False) -> Server:
    """Start the server and wait until it takes requests.

    port: of the API; a free one if none is given. results_port: the port named in the addresses of results, for a proxy
    that stands before the store; the store's own if none is given. guarded: stop it also when this process is killed.
    """
    _need_redis()
    if not installed():
        raise ServerError("The NDIF server is not installed: `python -m tests.remote.server install`.")
    if up := running():
        raise ServerError(f"A server is up at {up.host} already: `python -m tests.remote.server stop` ends it.")
    ports = _free_ports(port)
    short = tempfile.gettempdir() if len(tempfile.gettempdir()) < 30 else "/tmp"
    server = Server(
        uuid.uuid4().hex, ports, results_port or ports["store"], tempfile.mkdtemp(prefix="ndif-", dir=short)
    )
    shutil.rmtree(server.logs, ignore_errors=True)
    server.logs.mkdir(parents=True)
    note = {"mark": server.mark, "ports": ports, "results_port": server.results_port, "ray": server.ray}
    _note().write_text(json.dumps(note))
    try:
        if guarded:
            server._guards.append(_guard(server.mark))
        server._start()
    except BaseException:  # Ctrl-C too
        server.stop()
        raise
    return server


def running() -> Server | None:
    """The server of this folder, if one is up. What is left of one that died is cleared away."""
    if not _note().exists():
        return None
    server = Server(**json.loads(_note().read_text()))
    if processes.carrying(**{MARK: server.mark}):
        return server
    server.stop()
    return None


def _guard(mark: str) -> subprocess.Popen[bytes]:
    """A process that stops this server, and no later one, as soon as this process has ended, in whatever way."""
    command = [sys.executable, "-m", "tests.remote.server", "guard", mark]
    return subprocess.Popen(command, stdin=subprocess.PIPE, cwd=HERE.parents[1], start_new_session=True)


def _need_redis() -> None:
    if not shutil.which("redis-server"):
        raise ServerError(
            "The NDIF server needs redis-server, which is not on the path: `apt-get install redis-server`."
        )


def _note() -> Path:
    return folder() / "run.json"


def _free_ports(api: int | None) -> dict[str, int]:
    with contextlib.ExitStack() as held:  # held together, so that no port is found twice
        found = {}
        for name in PORTS:
            listener = held.enter_context(socket.socket())
            wanted = api if name == "api" and api else 0
            try:
                listener.bind(("127.0.0.1", wanted))
            except OSError as error:
                raise ServerError(f"Port {wanted} for the API cannot be had: {error.strerror}. Name another.") from None
            found[name] = listener.getsockname()[1]
        return found


def listens(port: int) -> bool:
    """Whether something takes connections at this port."""
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


def _answers(url: str, method: str = "GET") -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(urllib.request.Request(url, method=method), timeout=20) as answer:
            return answer.status == 200
    except OSError:
        return False


def _command(process: processes.psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except processes.psutil.Error:
        return ""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.remote.server", description=__doc__)
    parser.add_argument("action", choices=("install", "start", "stop", "guard"))
    parser.add_argument("mark", nargs="?", help="of the server to guard")
    parser.add_argument("--port", type=int, help="of the API, for start; a free one if none is given")
    chosen = parser.parse_args()
    try:
        _act(chosen.action, chosen.port, chosen.mark)
    except ServerError as error:
        sys.exit(str(error))


def _act(action: str, port: int | None, mark: str | None) -> None:
    if action == "install":
        _need_redis()  # said before the long part
        if not installed():
            _say(f"installing the NDIF server into {folder()} ({SIZE}).")
            install()
    elif action == "start":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit("interrupted"))
        _say(f"NDIF_HOST={start(port).host}")
    elif action == "stop":
        if up := running():
            up.stop()
    else:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        sys.stdin.read()
        if (up := running()) and up.mark == mark:
            up.stop()


def _say(sentence: str) -> None:
    sys.stdout.write(sentence + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
