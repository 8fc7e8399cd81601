"""What a server costs: one request alone, and panels' work here, on a server of this machine, and over a link of 50 ms.

    python -m tests.benchmarks.remote

The server is a real NDIF with one model actor on the CPU, redis, Ray and an object store, as `make test-remote` starts it. All ways
run in turn, on the same two cores, which the server has to share with its client; a server elsewhere has its own.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import Any

from tests.benchmarks import measure
from tests.remote import server as ndif
from tests.remote.proxy import Proxy

LINK = 0.05
"""Seconds of a round trip over the slower link."""
ROUNDS = 4


def main() -> None:
    import interp_widgets as iw
    from interp_widgets.session import known

    measure.one_thread()
    os.environ["NO_PROXY"] = "127.0.0.1"
    folder = str(known.resolve("smollm2-135m"))
    with contextlib.ExitStack() as ends:
        results = ends.enter_context(contextlib.closing(Proxy()))
        server = ndif.start(results_port=results.port)
        ends.callback(server.stop)
        results.target = server.ports["store"]
        link = ends.enter_context(contextlib.closing(Proxy(server.ports["api"])))
        here, there, far = (iw.load(folder, remote=host) for host in (False, server.host, link.url))
        there.read("once", ["embed"])
        link.delay = LINK / 2
        results.delay = 0.0

        def over_the_link(run: Callable[[], object]) -> Callable[[], object]:
            def timed() -> object:
                results.delay = LINK / 2
                try:
                    return run()
                finally:
                    results.delay = 0.0

            return timed

        rows = []
        for name, run in work(here).items():
            ways: dict[str, Callable[[], object]] = {
                "here": lambda run=run: run(here),
                "server": lambda run=run: run(there),
                "link": over_the_link(lambda run=run: run(far)),
            }
            if name == "one request that does nothing":
                del ways["here"]
            times = measure.in_turn(ways, ROUNDS)
            far.jobs.clear()
            ways["link"]()
            seconds = sum(job.server_seconds or 0 for job in far.jobs)
            requests = len(far.jobs)
            trips = (times["link"].best - times["server"].best) / LINK
            rows.append(
                [
                    name,
                    measure.ms(times["here"].best) if "here" in times else "",
                    measure.ms(times["server"].best),
                    measure.ms(times["link"].best),
                    requests,
                    measure.ms(seconds),
                    f"{trips:.1f}",
                ]
            )
        print(measure.machine())
        head = [
            "",
            "here",
            "server on this machine",
            "link of 50 ms",
            "requests",
            "of it the server's work",
            "round trips",
        ]
        measure.report("SmolLM2-135M, best of 4 rounds", head, rows)


def work(model: Any) -> dict[str, Callable[[Any], object]]:
    """What is timed, by name."""
    import interp_widgets as iw

    short, long = (measure.text_of(model, tokens) for tokens in (14, 50))
    pair = {"clean": measure.IOI, "corrupt": measure.IOI_CORRUPT, "answer": " Mary", "foil": " John"}
    return {
        "one request that does nothing": lambda where: where.work(nothing),
        "lens, 14 tokens": lambda where: iw.methods.logit_lens(where, short),
        "lens, 50 tokens": lambda where: iw.methods.logit_lens(where, long),
        "attention of all heads, 14 tokens": lambda where: iw.methods.head_scores(where, short),
        "attribution patching, 14 tokens": lambda where: iw.methods.attribution_patching(where, **pair),
        "patching grid, 14 tokens": lambda where: iw.methods.activation_patching(where, **pair),
    }


def nothing(model: Any) -> int:
    """Work that is none."""
    return 0


if __name__ == "__main__":
    main()
