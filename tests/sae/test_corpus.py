"""A corpus folder answers as a sort of all dense activations does: finished, half made, broken off and taken up again."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import interp_widgets as iw
from interp_widgets import frames
from interp_widgets.errors import CorpusError, DictionaryError, FrameError
from interp_widgets.sae.corpus import folder as files
from interp_widgets.sae.corpus.reader import Corpus
from interp_widgets.sae.corpus.store import Store
from tests.sae.events import Truth, about, contents, random_truth, word, written

CONTEXTS = [(0, 0), (2, 1), (50, 50)]
KINDS = ("top", "random", "interval", "quantile")


def check(corpus: Corpus, truth: Truth, atoms: list[int]) -> None:
    """Everything a corpus says equals what the dense activations say."""
    fired = (truth.a > 0).sum(0)
    assert corpus.tokens == truth.counts.sum()
    assert corpus.atoms["fired"].to_list() == fired.tolist()
    assert corpus.atoms["maximum"].to_numpy() == pytest.approx(truth.a.max(0, initial=0))
    assert corpus.atoms["density"].to_numpy() == pytest.approx(fired / truth.counts.sum())
    means = [float(column[column > 0].mean(dtype=np.float64)) if (column > 0).any() else None for column in truth.a.T]
    assert corpus.atoms["mean"].to_list() == pytest.approx(means)
    assert corpus.atoms["kept"].to_list() == [1.0] * len(fired)
    for atom in atoms:
        rows = truth.events(atom)
        got = corpus.activations(atom)
        assert places(got) == [(truth.text[r], truth.position[r]) for r in rows]
        assert got["activation"].to_list() == truth.a[rows, atom].tolist()
        assert got["token"].to_list() == [word(i) for i in truth.ids[rows]]
        check_histogram(corpus.histogram(atom, 7), truth.a[rows, atom], 7)
        for context in CONTEXTS:
            for kind in KINDS:
                check_examples(corpus.examples(atom, kind, 3, context=context, intervals=4), truth, atom, kind, context)


def check_histogram(got: pl.DataFrame, values: np.ndarray, bins: int) -> None:
    assert got.height == (bins if len(values) else 0)
    for place, (low, high, count) in enumerate(got.select("low", "high", "count").iter_rows()):
        assert low == pytest.approx(values.max() * place / bins)
        assert high == pytest.approx(values.max() * (place + 1) / bins)
        assert count == sum(low < v <= high for v in values.tolist())
    assert got["count"].sum() == len(values)


def check_examples(got: pl.DataFrame, truth: Truth, atom: int, kind: str, context: tuple[int, int]) -> None:
    frames.check(got, frames.ATOM_EXAMPLES)
    row_of = {place: row for row, place in enumerate(zip(truth.text.tolist(), truth.position.tolist(), strict=True))}
    lists = members(truth, atom, kind, 4)
    assert got["interval"].unique().drop_nulls().to_list() == ([] if lists.keys() <= {None} else sorted(lists))
    for number, rows in lists.items():
        contexts = {row: tuple(truth.ids[truth.context(row, *context)].tolist()) for row in rows}
        places = {row: (len([r for r in truth.context(row, *context) if r < row]), contexts[row]) for row in rows}
        part = got if number is None else got.filter(interval=number)
        shown = [row_of[place] for place in part.select("text", "position").iter_rows()]
        assert part["rank"].to_list() == list(range(1, len(shown) + 1))
        assert len(shown) == min(3, len(set(places.values())))
        assert set(shown) <= set(rows)
        if kind == "top":
            best: dict[Any, int] = {}
            for row in rows:
                best.setdefault(places[row], row)
            assert shown == list(best.values())[:3]
        sizes = Counter(places.values())
        for row, example in zip(shown, part.iter_rows(named=True), strict=True):
            around = truth.context(row, *context)
            assert example["repeats"] == sizes[places[row]] - 1
            assert example["activation"] == truth.a[row, atom]
            assert example["token_ids"] == truth.ids[around].tolist()
            assert example["tokens"] == [word(i) for i in truth.ids[around]]
            assert example["at"] == row - around[0]
            assert example["source"] == ("even" if example["text"] % 2 == 0 else "odd")
            known = [float(truth.a[r, atom]) if truth.counts[r] else None for r in around]
            assert example["activations"] == known
            if number is not None:
                inside = truth.a[rows, atom]
                assert example["low"] <= example["activation"] <= example["high"]
                if kind == "quantile":
                    assert (example["low"], example["high"]) == (inside.min(), inside.max())


def members(truth: Truth, atom: int, kind: str, intervals: int) -> dict[int | None, list[int]]:
    """The rows that each list can show, strongest first."""
    rows = truth.events(atom)
    if kind in ("top", "random"):
        return {None: rows} if rows else {}
    if kind == "interval":
        top = float(truth.a[:, atom].max(initial=0))
        inside = {
            number: [
                row
                for row in rows
                if top * number / intervals < truth.a[row, atom].item() <= top * (number + 1) / intervals
            ]
            for number in range(intervals)
        }
        return {number: rows for number, rows in inside.items() if rows}
    ascending = sorted(rows, key=lambda row: (truth.a[row, atom], row))
    shares = [part.tolist() for part in np.array_split(np.array(ascending, int), intervals)]
    return {number: share for number, share in enumerate(shares) if share}


def places(frame: pl.DataFrame) -> list[tuple[int, int]]:
    return list(frame.select("text", "position").iter_rows())


@pytest.mark.parametrize("seed", range(4))
def test_a_finished_corpus_equals_an_offline_sort(tmp_path: Path, seed: int) -> None:
    truth = random_truth(seed)
    written(tmp_path / "c", truth)
    corpus = iw.open_corpus(tmp_path / "c")
    assert corpus.complete
    assert corpus.total == corpus.tokens
    check(corpus, truth, list(range(0, 40, 3)))


def test_a_corpus_that_is_being_made_equals_a_sort_of_what_was_read(tmp_path: Path) -> None:
    truth = random_truth(9)
    with Store(tmp_path / "c", about(40, asked=10**6), word) as store:
        corpus = iw.open_corpus(tmp_path / "c")
        assert corpus.tokens == 0
        for number, batch in enumerate(truth.batches()):
            store.append(*batch)
            assert corpus.tokens == truth.first(number).counts.sum()  # not committed yet
            store.commit()
            if number % 5 == 0:
                check(corpus, truth.first(number + 1), [0, 7, 19, 33])
        assert (corpus.complete, corpus.total) == (False, 10**6)
        assert "not complete" in repr(corpus)
        store.finish()
    check(corpus, truth, [0, 7, 19, 33])
    assert corpus.complete


def test_draws_are_uniform_and_a_shorter_one_is_the_start_of_a_longer(tmp_path: Path) -> None:
    truth = random_truth(1, texts=6)
    written(tmp_path / "c", truth)
    corpus = iw.open_corpus(tmp_path / "c")
    atom = int(((truth.a > 0).sum(0) >= 12).nonzero()[0][0])
    seen: Counter[tuple[int, int]] = Counter()
    draws = 400
    for seed in range(draws):
        ten = corpus.examples(atom, "random", 10, context=(50, 50), seed=seed)
        assert corpus.examples(atom, "random", 4, context=(50, 50), seed=seed).equals(ten.head(4))
        seen.update(places(ten.head(4)))
    events = len(truth.events(atom))
    expected = draws * 4 / events
    assert len(seen) == events
    chi_squared = sum((seen[place] - expected) ** 2 / expected for place in seen)
    assert chi_squared < events + 4 * math.sqrt(2 * events)  # a mean of `events`, four standard deviations


def test_a_draw_keeps_what_it_can_while_the_corpus_grows(tmp_path: Path) -> None:
    truth = random_truth(3, texts=100)
    atom = int((truth.a > 0).sum(0).argmax())
    with Store(tmp_path / "c", about(40), word) as store:
        corpus, kept = iw.open_corpus(tmp_path / "c"), []
        before: set[tuple[int, int]] = set()
        for batch in truth.batches():
            store.append(*batch)
            store.commit()
            now = set(places(corpus.examples(atom, "random", 10, context=(50, 50))))
            kept.append(len(before & now))
            before = now
    assert np.mean(kept[10:]) > 9


def test_atoms_of_a_token(tmp_path: Path) -> None:
    truth = random_truth(5)
    with Store(tmp_path / "c", about(40), word) as store:
        corpus = iw.open_corpus(tmp_path / "c")
        for batch in truth.batches():
            store.append(*batch)
        for step in (store.commit, store.finish):
            step()
            for token_id in range(6):
                here = truth.a[truth.ids == token_id]
                total = here.sum(0, dtype=np.float64)
                got = corpus.top_atoms_for_token(token_id, 5)
                best = sorted(range(40), key=lambda atom: (-round(total[atom], 9), atom))[:5]
                assert got["atom"].to_list() == best
                assert got["total"].to_list() == pytest.approx(total[best])
                assert got["count"].to_list() == (here > 0).sum(0)[best].tolist()
                assert got["share"].to_list() == pytest.approx(
                    [(here > 0).sum(0)[i] / (truth.a > 0).sum(0)[i] for i in best]
                )
    assert corpus.top_atoms_for_token(999).height == 0


# more events than are kept


@pytest.mark.parametrize("often", [1, 3, 1000])
def test_beyond_the_bound_the_strongest_and_a_uniform_sample_are_kept(tmp_path: Path, often: int) -> None:
    truth, most = random_truth(6, texts=150), 60
    with Store(tmp_path / "c", about(40, most=most), word) as store:
        corpus = iw.open_corpus(tmp_path / "c")
        for number, batch in enumerate(truth.batches()):
            store.append(*batch)
            if number % often == 0:
                store.commit()
                assert (corpus.atoms["fired"] * corpus.atoms["kept"]).max() < 2 * most + 1
        store.finish()
    fired = (truth.a > 0).sum(0)
    key = files.keys(truth.text, truth.position)
    assert corpus.atoms["fired"].to_list() == fired.tolist()
    assert corpus.atoms["maximum"].to_numpy() == pytest.approx(truth.a.max(0))
    for atom in range(40):
        rows = truth.events(atom)
        if fired[atom] > most:
            lowest = sorted(rows, key=lambda row: int(files.shuffled(key[row : row + 1])[0]))[: most // 2]
            expected = set(rows[: most // 2]) | set(lowest)
            drawn = {(truth.text[r], truth.position[r]) for r in lowest}
            assert set(places(corpus.examples(atom, "random", 10**3, context=(50, 50)))) <= drawn
            strong = corpus.examples(atom, "top", 10**3, context=(50, 50))
            assert strong["activation"].min() >= truth.a[rows[most // 2 - 1], atom]
            assert corpus.histogram(atom)["count"].sum() == pytest.approx(fired[atom], abs=20)
            unknown = [value for values in strong["activations"] for value in values if value is None or value == 0]
            assert set(unknown) == {None}
        else:
            expected = set(rows)
        assert set(places(corpus.activations(atom))) == {(truth.text[r], truth.position[r]) for r in expected}
        assert corpus.atoms["kept"][atom] == (len(expected) / len(rows) if rows else 1.0)
    assert sum(fired > most) > 5


def test_the_histogram_of_a_bounded_atom_is_unbiased(tmp_path: Path) -> None:
    truth, estimates = random_truth(6, texts=150), []
    atom = int((truth.a > 0).sum(0).argmax())
    values = truth.a[truth.a[:, atom] > 0, atom]
    exact = np.histogram(values, np.linspace(0, values.max(), 6))[0]
    for start in range(40):  # other documents' numbers are another draw
        truth.text = truth.text + 1000 * (start > 0)
        written(tmp_path / f"c{start}", truth, most=200)
        estimates.append(iw.open_corpus(tmp_path / f"c{start}").histogram(atom, 5)["count"].to_numpy())
    error = np.std(estimates, axis=0) / math.sqrt(len(estimates))
    assert (abs(np.mean(estimates, axis=0) - exact) <= 4 * error + 1).all()


# copies and tables


def test_a_slim_copy_shows_the_same(tmp_path: Path) -> None:
    truth = random_truth(4)
    written(tmp_path / "c", truth)
    corpus = iw.open_corpus(tmp_path / "c")
    slim = corpus.save(tmp_path / "slim", 2, kinds=KINDS, context=(3, 2), intervals=4)
    assert slim.limits == {"kinds": list(KINDS), "count": 2, "context": [3, 2], "intervals": 4, "seed": 0}
    assert corpus.limits is None
    assert slim.atoms.equals(corpus.atoms)
    assert (slim.tokens, slim.total, slim.complete) == (corpus.tokens, corpus.tokens, True)
    for atom in range(40):
        assert slim.histogram(atom).equals(corpus.histogram(atom))
        for kind in KINDS:
            for context in ((3, 2), None):
                got = slim.examples(atom, kind, 2, context=context, intervals=4)
                assert got.equals(corpus.examples(atom, kind, 2, context=(3, 2), intervals=4))
        assert slim.examples(atom, "interval", 1, intervals=4, interval=3).equals(
            corpus.examples(atom, "interval", 1, context=(3, 2), intervals=4, interval=3)
        )
        one = slim.examples(atom, "top", 2, context=(1, 0))
        assert one["tokens"].list.len().to_list() == [min(position, 1) + 1 for position in one["position"]]


@pytest.mark.parametrize(
    "ask",
    [
        lambda c: c.examples(0, "top", 3),
        lambda c: c.examples(0, "random", 1),
        lambda c: c.examples(0, "top", 1, context=(4, 0)),
        lambda c: c.examples(0, "interval", 1, intervals=5),
        lambda c: c.examples(0, "interval", 1, intervals=4, seed=1),
        lambda c: c.histogram(0, 7),
        lambda c: c.activations(0),
        lambda c: c.save("nowhere"),
    ],
)
def test_a_slim_copy_says_what_it_does_not_hold(tmp_path: Path, ask: Any) -> None:
    written(tmp_path / "c", random_truth(4, texts=5))
    slim = iw.open_corpus(tmp_path / "c").save(tmp_path / "slim", 2, context=(3, 2), intervals=4)
    with pytest.raises(CorpusError, match=r"slim copy (holds|, which does not hold)|slim copy, which does not hold"):
        ask(slim)


def test_a_slim_copy_counts_what_it_stores_on_a_token(tmp_path: Path) -> None:
    written(tmp_path / "c", random_truth(4, texts=5))
    slim = iw.open_corpus(tmp_path / "c").save(tmp_path / "slim", 2, context=(3, 2), intervals=4)
    shown: dict[tuple[int, int], dict[tuple[int, int], float]] = {}
    for atom in range(slim.width):
        for kind in ("top", "interval"):
            for row in slim.examples(atom, kind, 2, context=(3, 2), intervals=4).iter_rows(named=True):
                for i, (token, activation) in enumerate(zip(row["token_ids"], row["activations"], strict=True)):
                    if activation:
                        place = (row["text"], row["position"] - row["at"] + i)
                        shown.setdefault((token, atom), {})[place] = activation
    token = max(shown, key=lambda key: len(shown[key]))[0]
    totals = {atom: sum(found.values()) for (each, atom), found in shown.items() if each == token}
    got = slim.top_atoms_for_token(token, count=3)
    assert got["total"].to_list() == pytest.approx(sorted(totals.values(), reverse=True)[:3], rel=1e-5)
    assert got["atom"][0] == max(totals, key=lambda atom: totals[atom])


def test_a_whole_copy_is_whole(tmp_path: Path) -> None:
    written(tmp_path / "c", random_truth(4))
    copy = iw.open_corpus(tmp_path / "c").save(tmp_path / "copy")
    assert contents(tmp_path / "copy") == contents(tmp_path / "c")
    with pytest.raises(CorpusError, match="is not empty"):
        copy.save(tmp_path / "c")


def test_tables_of_examples_go_out_and_in(tmp_path: Path) -> None:
    written(tmp_path / "c", random_truth(4))
    corpus = iw.open_corpus(tmp_path / "c")
    corpus.to_parquet(tmp_path / "t.parquet", [3, 5], kinds=["top", "quantile"], count=2, context=(1, 1))
    table = iw.read_examples(tmp_path / "t.parquet")
    assert table.equals(corpus.examples_frame([3, 5], ["top", "quantile"], count=2, context=(1, 1)))
    parts = [corpus.examples(atom, kind, 2, context=(1, 1)) for atom in (3, 5) for kind in ("top", "quantile")]
    assert table.equals(pl.concat(parts))
    assert corpus.examples_frame([]).schema == table.schema


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.drop("at"), "at is missing"),
        (lambda t: t.with_columns(pl.col("activation").cast(pl.Float32)), "activation is Float32"),
        (lambda t: t.with_columns(at=pl.lit(99, pl.Int32)), "at is not a place"),
        (lambda t: t.with_columns(at=pl.lit(-1, pl.Int32)), "at is not a place"),
        (lambda t: t.with_columns(pl.col("activations").list.head(1)), "not of one length"),
        (lambda t: t.with_columns(activation=pl.lit(float("nan"))), "not finite"),
    ],
)
def test_tables_from_elsewhere_are_checked(tmp_path: Path, change: Any, says: str) -> None:
    written(tmp_path / "c", random_truth(4))
    table = iw.open_corpus(tmp_path / "c").examples_frame([3], context=(1, 1))
    change(table).write_parquet(tmp_path / "t.parquet")
    with pytest.raises(FrameError, match=says):
        iw.read_examples(tmp_path / "t.parquet")


def test_what_is_no_parquet_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_text("PAR1, it is not")
    for path in (tmp_path / "t.parquet", tmp_path / "none.parquet"):
        with pytest.raises(FrameError, match="cannot be read as Parquet"):
            iw.read_examples(path)


# refusals


def test_an_empty_corpus_has_empty_frames(tmp_path: Path) -> None:
    with Store(tmp_path / "c", about(3), word) as store:
        store.finish()
    corpus = iw.open_corpus(tmp_path / "c")
    assert corpus.atoms["density"].to_list() == [None] * 3
    for kind in KINDS:
        assert corpus.examples(0, kind).equals(
            frames.build(frames.ATOM_EXAMPLES, {n: [] for n in frames.ATOM_EXAMPLES})
        )
    assert corpus.histogram(0).height == corpus.activations(0).height == corpus.top_atoms_for_token(0).height == 0
    assert corpus.save(tmp_path / "slim", 2).examples(1).height == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("best",), "no examples of kind 'best'"),
        (("top", 0), "must be above 0"),
        (("top", 1, {"context": (-1, 0)}), "not negative"),
        (("interval", 1, {"interval": 10}), "interval is 0 to 9"),
        (("top", 1, {"interval": 0}), "for the kinds interval and quantile alone"),
    ],
)
def test_senseless_questions_get_a_sentence(tmp_path: Path, arguments: tuple[Any, ...], says: str) -> None:
    written(tmp_path / "c", random_truth(4, texts=3))
    kind, count, options = (*arguments, *(1, {})[len(arguments) - 1 :])[:3]
    with pytest.raises(CorpusError, match=says):
        iw.open_corpus(tmp_path / "c").examples(0, kind, count, **options)


def test_an_atom_that_does_not_exist(tmp_path: Path) -> None:
    written(tmp_path / "c", random_truth(4, texts=3))
    for ask in (iw.open_corpus(tmp_path / "c").examples, iw.open_corpus(tmp_path / "c").histogram):
        for atom in (40, -1):
            with pytest.raises(DictionaryError, match="has atoms 0 to 39"):
                ask(atom)
