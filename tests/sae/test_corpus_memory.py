"""A million tokens of 4096 atoms, straight into a store: what it takes in memory and on disk, and how soon it answers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import json, resource, sys, time
from pathlib import Path
import numpy as np
from interp_widgets.sae.corpus.folder import WINDOW
from interp_widgets.sae.corpus.reader import open_corpus
from interp_widgets.sae.corpus.store import Store
from tests.sae.events import about, word

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

folder, width, size, batches = Path(sys.argv[1]), 4096, 2048, 500
rng, base, found, events = np.random.default_rng(0), peak(), {}, 0
with Store(folder, about(width, most=50_000), word) as store:
    for batch in range(batches):
        windows = np.zeros(16, WINDOW)
        windows["text"], windows["start"], windows["length"] = batch * 8 + np.arange(16) // 2, np.arange(16) % 2 * 128, 128
        ids = (rng.zipf(1.3, size) % 49152).astype(np.int32)
        # Some atoms fire on half of all tokens, most on few.
        flat = np.unique((rng.random((size, 40)) ** 2 * width).astype(np.int64) + np.arange(size)[:, None] * width)
        events += len(flat)
        activation = rng.exponential(1, len(flat)).astype(np.float32)
        store.append(windows, [""] * 16, ids, np.ones(size, bool), flat // width, flat % width, activation)
        if store.due:
            store.commit()
    found["streamed"] = peak() - base
    corpus = open_corpus(folder)
    corpus.examples(5, "interval")
    found["asked while it runs"] = peak() - base
    store.finish()
found["finished"] = peak() - base
found["disk"] = sum(file.stat().st_size for file in folder.rglob("*"))
begin = time.process_time()
corpus.examples(3000, "interval")
found["examples"] = time.process_time() - begin
begin = time.process_time()
corpus.top_atoms_for_token(7)
found["token"] = time.process_time() - begin
found |= {"events": events, "fired": int(corpus.atoms["fired"].sum()), "tokens": corpus.tokens}
found["kept"] = corpus.atoms["kept"].min()
print(json.dumps(found))
"""


@pytest.mark.slow
def test_a_million_tokens_of_4096_atoms(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "c")],
        capture_output=True,
        text=True,
        timeout=900,
        cwd=Path(__file__).parents[2],
    )
    assert not done.returncode, done.stderr
    found = json.loads(done.stdout)
    sys.stdout.write(f"{found}\n")  # shown with -s
    assert found["tokens"] == 1_024_000
    assert found["fired"] == found["events"] > 30_000_000
    assert found["kept"] < 1  # the bound was needed
    assert found["finished"] < 300e6  # 30 million raw events are 360 MB, all activations 16 GB
    assert found["disk"] < 8.5 * found["events"]
    assert found["examples"] < 1
    assert found["token"] < 3  # under one second where nothing else runs
