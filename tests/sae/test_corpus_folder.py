"""A corpus folder: broken off and gone on with, refused where it is of something else, damaged, and read by others."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file, save_file

import interp_widgets as iw
from interp_widgets.errors import CorpusError
from interp_widgets.sae.corpus import folder as files
from interp_widgets.sae.corpus.store import Store
from tests.sae.events import about, contents, random_truth, word, written

KINDS = ("top", "random", "interval", "quantile")


@pytest.mark.parametrize("most", [10**6, 20])
def test_broken_off_at_any_commit_it_ends_with_the_same_bytes(tmp_path: Path, most: int) -> None:
    truth = random_truth(2)
    written(tmp_path / "whole", truth, most=most)
    batches = list(truth.batches())
    for stop in range(len(batches)):
        folder = tmp_path / f"broken-{stop}"
        with Store(folder, about(40, most=most), word) as store:
            for batch in batches[:stop]:
                store.append(*batch)
                store.commit()
            store.append(*batches[stop])  # never committed
            for file in (folder / "making").glob("*.raw"):  # killed in the middle of the next commit
                file.write_bytes(file.read_bytes() + b"half a record")
            (folder / "making" / "events-000.999.raw").write_bytes(b"written anew, and not committed")
        with Store(folder, about(40, most=most), word) as store:
            assert store.read[0] == stop
            for batch in batches[stop:]:
                store.append(*batch)
            store.finish()
        assert contents(folder) == contents(tmp_path / "whole")


def test_broken_off_while_it_sorts_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = random_truth(2)
    written(tmp_path / "whole", truth, most=30)
    with Store(tmp_path / "c", about(40, most=30), word) as store:
        for batch in truth.batches():
            store.append(*batch)
        done: list[Path] = []

        def full(file: Path, write: Any) -> None:
            if file.parent.name == "events":
                if len(done) == 2:
                    raise OSError(28, "No space left on device")
                done.append(file)
            ours(file, write)

        ours = files.replace
        monkeypatch.setattr(files, "replace", full)
        with pytest.raises(CorpusError, match=r"No space left.*All is read and kept; make room"):
            store.finish()
        monkeypatch.undo()
    half = iw.open_corpus(tmp_path / "c")
    assert not half.complete
    atoms = list(range(0, 40, 5))
    before = [half.examples(atom, "random", 5) for atom in atoms]
    with Store(tmp_path / "c", about(40, most=30), word) as store:
        assert store.ended
        store.finish()
    assert contents(tmp_path / "c") == contents(tmp_path / "whole")
    assert all(half.examples(atom, "random", 5).equals(seen) for atom, seen in zip(atoms, before, strict=True))


def test_a_full_disk_keeps_what_was_committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = random_truth(2)
    written(tmp_path / "whole", truth)
    first, *rest = truth.batches()
    with Store(tmp_path / "c", about(40), word) as store:
        store.append(*first)
        store.commit()
        store.append(*rest[0])

        def full(*_: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(files, "write_state", full)
        with pytest.raises(
            CorpusError, match=r"No space left.*What was committed is kept; make room there and call again"
        ):
            store.commit()
        monkeypatch.undo()
    with Store(tmp_path / "c", about(40), word) as store:
        for batch in rest:
            store.append(*batch)
        store.finish()
    assert contents(tmp_path / "c") == contents(tmp_path / "whole")


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"weights_sha256": "9", "model": "another"}, "made with the model a model; this is another"),
        ({"weights_sha256": "9"}, "this is a model with other weights"),
        ({"sae_sha256": "9", "sae": "another"}, "made with the dictionary a dictionary; this is another"),
        ({"context": 9}, "context = 8; this is 9"),
        ({"asked": 9}, "asked = None; this is 9"),
    ],
)
def test_a_folder_of_something_else_is_refused(tmp_path: Path, other: dict[str, Any], says: str) -> None:
    written(tmp_path / "c", random_truth(4, texts=3))
    with pytest.raises(CorpusError, match=says), Store(tmp_path / "c", about(40, **other), word):
        pass


def test_a_slim_copy_cannot_be_gone_on_with(tmp_path: Path) -> None:
    written(tmp_path / "c", random_truth(4, texts=3))
    iw.open_corpus(tmp_path / "c").save(tmp_path / "slim", 1)
    with pytest.raises(CorpusError, match="is a slim copy"), Store(tmp_path / "slim", about(40), word):
        pass


def test_it_can_be_asked_by_another_thread_at_any_moment(tmp_path: Path) -> None:
    truth = random_truth(6, texts=150)
    store = Store(tmp_path / "c", about(40, most=30), word)
    with store:
        corpus, seen, failures = iw.open_corpus(tmp_path / "c"), [], []

        def ask() -> None:
            try:
                while not seen or not corpus.complete:
                    atom = len(seen) % 40
                    seen.append(max(corpus.examples(atom, kind, 3).height for kind in KINDS))
                    corpus.top_atoms_for_token(len(seen) % 6)
            except Exception as error:
                failures.append(error)

        reader = threading.Thread(target=ask)
        reader.start()
        for batch in truth.batches():
            store.append(*batch)
            store.commit()
        store.finish()
    reader.join(300)
    assert not failures
    assert max(seen) > 0


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    with (
        Store(tmp_path / "c", about(40), word),
        pytest.raises(CorpusError, match="Another process is writing"),
        Store(tmp_path / "c", about(40), word),
    ):
        pass
    with Store(tmp_path / "c", about(40), word):
        pass


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("my only copy")
    with pytest.raises(CorpusError, match="is not empty"), Store(tmp_path, about(40), word):
        pass
    with pytest.raises(CorpusError, match="is no corpus"):
        iw.open_corpus(tmp_path)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-8])


def edit(**entries: Any) -> Any:
    return lambda file: file.write_text(json.dumps({**json.loads(file.read_text()), **entries}))


def arrays(**changed: Any) -> Any:
    def change(file: Path) -> None:
        found = load_file(file)
        for name, function in changed.items():
            found[name] = function(found[name])
        save_file(found, file)

    return change


def table(**columns: Any) -> Any:
    return lambda file: pl.read_parquet(file.read_bytes()).with_columns(**columns).write_parquet(file)


@pytest.mark.parametrize(
    ("name", "break_it"),
    [
        ("corpus.json", cut),
        ("corpus.json", edit(format="another")),
        ("corpus.json", edit(width="40")),
        ("corpus.json", edit(atoms_per_file=0)),
        ("corpus.json", edit(tokens="many")),
        ("corpus.json", edit(slim={"count": 3})),
        ("corpus.json", lambda file: file.write_text("[]")),
        ("atoms.parquet", cut),
        ("atoms.parquet", lambda file: file.unlink()),
        ("atoms.parquet", table(atom=pl.lit(0, pl.Int32))),
        ("tokens.parquet", table(position=pl.lit(0, pl.Int32))),
        ("tokens.parquet", table(token_id=pl.lit(77, pl.Int32))),
        ("texts.parquet", table(text=pl.lit(0, pl.Int32))),
        ("vocabulary.parquet", cut),
        ("events/000.safetensors", cut),
        ("events/000.safetensors", lambda file: file.unlink()),
        ("events/000.safetensors", arrays(token=lambda t: t + 10**6)),
        ("events/000.safetensors", arrays(token=lambda t: t - 10**6)),
        ("events/000.safetensors", arrays(token=lambda t: t[:-1])),
        ("events/000.safetensors", arrays(activation=lambda a: a * np.float32(np.nan))),
        ("events/000.safetensors", arrays(activation=lambda a: a.astype(np.float64))),
        ("events/000.safetensors", arrays(offsets=lambda o: o[::-1].copy())),
        ("events/000.safetensors", arrays(offsets=lambda o: o[:1])),
    ],
)
def test_damage_gets_a_sentence(tmp_path: Path, name: str, break_it: Any) -> None:
    written(tmp_path / "c", random_truth(4, texts=8))
    break_it(tmp_path / "c" / name)
    with pytest.raises(CorpusError, match="is damaged"):
        [iw.open_corpus(tmp_path / "c").examples(atom) for atom in range(16)]


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    written(tmp_path / "c", random_truth(4, texts=3))
    edit(version=2)(tmp_path / "c" / "corpus.json")
    with pytest.raises(CorpusError, match="has version 2 of the format"):
        iw.open_corpus(tmp_path / "c")


@pytest.mark.parametrize("name", ["tokens.raw", "windows.raw", "events-000.0.raw", "state.safetensors"])
def test_a_cut_off_half_made_corpus_gets_a_sentence(tmp_path: Path, name: str) -> None:
    with Store(tmp_path / "c", about(40), word) as store:
        for batch in random_truth(4).batches():
            store.append(*batch)
        store.commit()
    cut(tmp_path / "c" / "making" / name)
    with pytest.raises(CorpusError, match="is damaged"):
        [iw.open_corpus(tmp_path / "c").examples(atom) for atom in range(16)]
    with pytest.raises(CorpusError, match="is damaged"), Store(tmp_path / "c", about(40), word):
        pass


def test_the_folder_can_be_read_without_this_package(tmp_path: Path) -> None:
    truth = random_truth(8)
    written(tmp_path / "c", truth)
    about_it = json.loads((tmp_path / "c" / "corpus.json").read_text())
    tokens = pl.read_parquet(tmp_path / "c" / "tokens.parquet")
    for atom in range(about_it["width"]):
        number, inside = divmod(atom, about_it["atoms_per_file"])
        events = load_file(tmp_path / "c" / "events" / f"{number:03d}.safetensors")
        mine = slice(*events["offsets"][inside : inside + 2])
        dense = np.zeros(len(tokens), np.float32)
        dense[events["token"][mine]] = events["activation"][mine]
        assert (dense == truth.a[:, atom]).all()
    assert tokens["token_id"].to_list() == truth.ids.tolist()
    assert tokens["counts"].to_list() == truth.counts.tolist()
