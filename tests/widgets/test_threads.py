"""What changes in two threads at once reaches the browser: a job shows a result while the kernel answers a click."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
import traitlets as t

from interp_widgets.widgets import base


class Pair(base.Widget):
    """Two numbers, each changed by a thread of its own."""

    _esm = "export default { render() {} };"
    left = t.Int(0).tag(sync=True)
    right = t.Int(0).tag(sync=True)


@pytest.fixture
def pair(monkeypatch) -> tuple[Pair, list[dict[str, Any]]]:
    """A widget, and the states that it has sent; sending takes a moment, in which the other thread goes on."""
    pair, sent = Pair(), []

    def send(message: dict[str, Any], buffers: Any = None) -> None:
        if message["method"] == "update":
            time.sleep(0.001)
            sent.append(dict(message["state"]))

    monkeypatch.setattr(pair, "_send", send)
    return pair, sent


def last(sent: list[dict[str, Any]], name: str) -> int:
    return next(state[name] for state in reversed(sent) if name in state)


def test_what_a_thread_changes_while_another_sends_is_not_lost(pair, monkeypatch) -> None:
    widget, sent = pair
    send, sending, changed, first_done = widget._send, *(threading.Event() for _ in range(3))

    def slowly(message: dict[str, Any], buffers: Any = None) -> None:
        if not sending.is_set():
            sending.set()
            changed.wait(0.2)  # not to the end where the other thread has to wait for this one
        send(message, buffers)

    def change_left() -> None:
        with widget.hold_sync():
            widget.left = 1
        first_done.set()

    def change_right() -> None:
        sending.wait(5)
        with widget.hold_sync():
            widget.right = 1
            changed.set()
            first_done.wait(5)

    monkeypatch.setattr(widget, "_send", slowly)
    threads = [threading.Thread(target=change) for change in (change_left, change_right)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (last(sent, "left"), last(sent, "right")) == (1, 1)


def test_threads_that_change_the_same_widget_at_once_end_in_one_state(pair) -> None:
    widget, sent = pair
    for i in range(1, 60):

        def change(name: str, value: int = i) -> None:
            with widget.hold_sync():
                setattr(widget, name, value)
                time.sleep(0.001 * (value % 3))  # as one that sets several, and computes them

        threads = [threading.Thread(target=change, args=[name]) for name in ("left", "right")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (last(sent, "left"), last(sent, "right")) == (i, i)


def test_a_block_sends_once_at_its_end_and_a_block_inside_it_does_not(pair) -> None:
    widget, sent = pair
    with widget.hold_sync():
        widget.left = 1
        with widget.hold_sync():
            widget.left = 2
        widget.right = 3
        assert sent == []
    assert sent == [{"left": 2, "right": 3}]
    widget.left = 4
    assert sent[1:] == [{"left": 4}]


def test_a_block_that_fails_sends_what_was_changed_in_it(pair) -> None:
    widget, sent = pair

    def change() -> None:
        with widget.hold_sync():
            widget.left = 1
            widget.right = 1 // 0

    with pytest.raises(ZeroDivisionError):
        change()
    assert sent == [{"left": 1}]
