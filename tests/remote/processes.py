"""Processes that carry a mark in their environment, and their descendants: found, and ended, and no others."""

from __future__ import annotations

from collections.abc import Collection

import psutil


def carrying(**environment: str) -> set[psutil.Process]:
    """Every process started with these variables, and every descendant of one.

    Descendants, because a process that renames itself may overwrite the memory in which the system shows its environment:
    parts of Ray do.
    """
    found: set[psutil.Process] = set()
    for process in psutil.process_iter():
        try:
            theirs = process.environ()
            if all(theirs.get(name) == value for name, value in environment.items()):
                found |= {process, *process.children(recursive=True)}
        except psutil.Error:  # it has ended, or belongs to somebody else
            continue
    return found


def end(**environment: str) -> set[psutil.Process]:
    """Kill them at once, and look again until none is left. Returns those that would not die."""
    for _ in range(5):  # a process may start another while it dies
        found = carrying(**environment)
        if not found:
            break
        kill(found)
    return carrying(**environment)


def kill(processes: Collection[psutil.Process]) -> None:
    """Kill each and wait until they are gone. psutil does not mistake a reused process id for an old process."""
    for process in processes:
        try:
            process.kill()
        except psutil.Error:
            continue
    psutil.wait_procs(list(processes), timeout=10)
