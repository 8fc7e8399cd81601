"""Names of the package asked for in several threads at once, as a notebook's next cell does while a panel computes."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import importlib.abc, sys, threading, time
import torch

class Slow(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.startswith("interp_widgets."):
            time.sleep(0.01)  # other threads get their turn between any two modules

sys.meta_path.insert(0, Slow())
import interp_widgets as iw
from interp_widgets.panels.jobs import Job

failed = []
def ask(question):
    start.wait()
    try:
        question()
    except BaseException as error:
        failed.append(f"{type(error).__name__}: {error}")

def job():
    def work(progress):
        from interp_widgets.methods.sweep import sweep
    made = Job(work, lambda *_: None).start()
    made.wait(60)
    if made.error:
        raise made.error

questions = QUESTIONS
start = threading.Barrier(len(questions))
threads = [threading.Thread(target=ask, args=(each,)) for each in questions]
[t.start() for t in threads]
[t.join(60) for t in threads]
print(*failed, sep="\\n")
sys.exit(bool(failed) or any(t.is_alive() for t in threads))
"""


def test_names_are_whole_whoever_asks_and_whenever() -> None:
    asked = ["job", *(f"lambda: iw.{name}" for name in ("load_sae", "Atoms", "methods", "train_sae", "audit", "load"))]
    code = CODE.replace("QUESTIONS", f"[{', '.join(asked)}]")
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stdout + ended.stderr
