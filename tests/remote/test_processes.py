"""Processes are found by their mark, also where a descendant has lost it, and no other is touched."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator

import psutil
import pytest

from tests.remote import processes

# Starts a child without the mark, tells its process id, and waits for good.
PARENT = """
import os, subprocess, sys, time
bare = {name: value for name, value in os.environ.items() if name != "IW_TEST_MARK"}
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], env=bare)
print(child.pid, flush=True)
child.wait()
"""


@pytest.fixture
def family() -> Iterator[tuple[str, psutil.Process, psutil.Process]]:
    mark = uuid.uuid4().hex
    environment = os.environ | {"IW_TEST_MARK": mark}
    with subprocess.Popen([sys.executable, "-c", PARENT], env=environment, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        both = psutil.Process(parent.pid), psutil.Process(int(parent.stdout.readline()))
        yield mark, *both
        processes.kill(both)


def test_a_descendant_without_the_mark_is_found(family: tuple[str, psutil.Process, psutil.Process]) -> None:
    mark, parent, child = family
    assert processes.carrying(IW_TEST_MARK=mark) == {parent, child}
    assert processes.carrying(IW_TEST_MARK=mark, IW_OTHER="1") == set()


def test_all_are_ended_and_others_are_not(family: tuple[str, psutil.Process, psutil.Process]) -> None:
    mark, parent, child = family
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        assert processes.end(IW_TEST_MARK=mark) == set()
        assert not parent.is_running()
        assert not child.is_running()
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
