"""What is inside toy-grammar, measured: where weekdays and months lie, how the indirect object is found, what dictionaries keep."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from random import Random
from typing import Any

import polars as pl
import torch
from torch.nn.functional import cross_entropy

from ... import methods
from ...sae.dictionary import Dictionary
from . import concepts, grammar
from . import words as w
from .tokens import encode

CYCLES = {"weekdays": w.DAYS, "months": w.MONTHS}
POSITIONS = {-5: "giver", -4: "verb", -1: "end"}
"""What stands where, from the end, in the first wording of INDIRECT_OBJECT: "... , john gave a book to"."""


def spectrum(means: torch.Tensor) -> list[float]:
    """[n, width], one row an element of a cycle -> the share of the variance around their mean at each frequency 1 .. n // 2."""
    n = len(means)
    power = torch.fft.fft(means - means.mean(0), dim=0).abs().square().sum(1)
    both = [float(power[f] + (power[n - f] if f != n - f else 0)) for f in range(1, n // 2 + 1)]
    return [each / sum(both) for each in both]


def around(means: torch.Tensor) -> tuple[list[int], float]:
    """(the elements in their order around the plane of the first two components, from element 0; share of the variance there)."""
    left, size, _ = torch.linalg.svd(means - means.mean(0), full_matrices=False)
    angle = torch.atan2(left[:, 1] * size[1], left[:, 0] * size[0])
    order = ((angle - angle[0]) % math.tau).argsort().tolist()
    return order, float(size[:2].square().sum() / size.square().sum())


def circles(model: Any) -> pl.DataFrame:
    """Mean activations of each day and month, at the word itself (`embed`) and, by the answer, at the word before the answer."""
    rows = []
    for name, cycle in CYCLES.items():
        every = [(steps, back, start) for steps in range(1, 21) for back in (False, True) for start in cycle]
        texts = [text for each in every for text in grammar.calendar_texts(cycle, *each)]
        sites = ["embed", *(f"resid_post.{layer}" for layer in range(model.num_layers))]
        reading = concepts.read(model, texts, sites)
        for site in sites:
            said = [place.word if site == "embed" else place.next for place in reading.places]
            at = {word: torch.tensor([one == word for one in said]) for word in cycle}
            means = torch.stack([reading.values[site][at[word]].mean(0) for word in cycle])
            order, share = around(means)
            powers = {str(f): round(share, 2) for f, share in enumerate(spectrum(means), 1)}
            rows.append((name, site, powers, share, " ".join(cycle[i][:3] for i in order)))
    columns = ["cycle", "site", "power", "two_components", "around"]
    return pl.DataFrame(
        [(*row[:2], " ".join(f"f{f} {share}" for f, share in row[2].items()), *row[3:]) for row in rows],
        schema=columns,
        orient="row",
    )


def giver_pairs(n: int, seed: int = 0) -> pl.DataFrame:
    """Pairs of names that were held out; the corrupt prompt has the other giver. Columns as `methods.patching_pairs` takes them."""
    rng = Random(f"giver {seed}")
    rows: dict[str, tuple[str, str, str]] = {}
    prompt = grammar.INDIRECT_OBJECT[0].split(" [")[0]
    while len(rows) < n:
        a, b = rng.sample(w.NAMES, 2)
        if not grammar.hashed(15, "indirect object", *sorted((a, b))):
            continue
        giver, other = (a, b) if len(rows) % 2 else (b, a)
        blanks = {"a": a, "b": b, "place": rng.choice(w.PLACES), "thing": rng.choice(w.OBJECTS)}
        rows[prompt.format(giver=giver, **blanks)] = (prompt.format(giver=other, **blanks), other, giver)
    return pl.DataFrame(
        [(clean, *rest) for clean, rest in rows.items()], schema=["clean", "corrupt", "answer", "foil"], orient="row"
    )


def giver_patching(model: Any, n: int = 60) -> pl.DataFrame:
    """Share of the logit difference that one clean activation restores: mean over pairs, its interval, a row a site and place."""
    pairs, sites = giver_pairs(n), ("resid_post", "attn_out", "mlp_out", "head_out.*.*")
    cells = methods.patching_pairs(model, pairs, sites=sites, positions=list(POSITIONS))
    words = len(model.encode(pairs["clean"][0]))
    place = pl.col("position").replace_strict({words + at: name for at, name in POSITIONS.items()})
    return methods.pair_summary(cells, value="recovery").select("site", place.alias("place"), "mean", "low", "high")


def giver_attention(model: Any, n: int = 60) -> pl.DataFrame:
    """Where each head looks from the last word, mean over pairs: at the answer's name, at the giver's first mention (`other`) and
    his second (`giver`), at the verb.

    A name mover (Wang et al. 2022, arXiv:2211.00593) looks at the answer's name and not at the other.
    """
    pairs = giver_pairs(n)
    kinds = [f"pattern.{layer}" for layer in range(model.num_layers)]
    patterns = model.run([model.encode(text) for text in pairs["clean"]], kinds)
    rows = []
    first = [text.split()[1] == name for text, name in zip(pairs["clean"], pairs["answer"], strict=True)]
    answer = torch.where(torch.tensor(first), 2, 4)  # <s> when A and B
    for layer, kind in enumerate(kinds):
        last = patterns[kind][:, :, -1]  # [pairs, heads, positions]
        for head in range(last.shape[1]):
            looks = [last[torch.arange(n), head, at].mean().item() for at in (answer, 6 - answer)]
            looks += [last[:, head, place].mean().item() for place in (-5, -4)]
            rows.append((f"{layer}.{head}", *looks))
    return pl.DataFrame(rows, schema=["head", "answer", "other", "giver", "verb"], orient="row")


def dictionary_quality(model: Any, dictionaries: Mapping[str, Dictionary], n: int = 1500) -> pl.DataFrame:
    """Each dictionary on held-out sentences, and in the model's place: cross-entropy added, in nats a word, one site at a time."""
    texts = [text for _, text in concepts.mixed(n, "quality", held=True)]
    reading = concepts.read(model, texts, [dictionary.site for dictionary in dictionaries.values()])
    clean, rows = _losses(model, texts), []
    for dictionary in dictionaries.values():
        x = reading.values[dictionary.site]
        atoms = dictionary.encode(x)
        error = (x - dictionary.decode(atoms)).square().sum() / (x - x.mean(0)).square().sum()
        row = {
            "site": dictionary.site,
            "explained_variance": 1 - float(error),
            "dead": float((atoms.amax(0) == 0).float().mean()),
        }
        mean = x.mean(0)
        instead = {
            "": lambda h, of=dictionary: of.decode(of.encode(h)),
            "mean_": lambda h, mean=mean: mean.expand_as(h),
        }
        for name, replace in instead.items():
            added = _losses(model, texts, dictionary.site, replace)
            row |= {f"{name}loss_added": added[0] - clean[0], f"{name}loss_added_answers": added[1] - clean[1]}
        rows.append(row)
    return pl.DataFrame(rows)


def _losses(model: Any, texts: Iterable[str], site: str = "", replace: Any = None) -> tuple[float, float]:
    """Mean cross-entropy (of all words, of answers), with what `replace` makes of a site's activations but that of `<s>`."""
    by_length: dict[int, list[tuple[list[int], list[int]]]] = {}
    for text in texts:
        ids, answers = encode(text)
        by_length.setdefault(len(ids), []).append((ids[:-1], answers))
    edit = {site: lambda h: torch.cat([h[:, :1], replace(h[:, 1:])], 1)} if site else None
    sums, counts = [0.0, 0.0], [0, 0]
    for rows in by_length.values():
        for first in range(0, len(rows), 128):
            ids = torch.tensor([ids for ids, _ in rows[first : first + 128]])
            logits = model.run(ids.tolist(), ["logits"], edit=edit)["logits"].float()
            each = cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten(), reduction="none").view(
                len(ids), -1
            )
            asked = torch.zeros_like(each, dtype=torch.bool)
            for row, (_, answers) in enumerate(rows[first : first + 128]):
                asked[row, [answer - 1 for answer in answers]] = True
            for i, chosen in enumerate((each, each[asked])):
                sums[i] += chosen.sum().item()
                counts[i] += chosen.numel()
    return sums[0] / counts[0], sums[1] / counts[1]


def told(model: Any, dictionaries: Mapping[str, Dictionary], n: int = 2500) -> pl.DataFrame:
    """For each concept the atom, of all dictionaries, that tells it best on trained sentences; F1 there and on held-out ones."""
    sites = [dictionary.site for dictionary in dictionaries.values()]
    seen, new = (
        concepts.read(model, [text for _, text in concepts.mixed(n, f"told {held}", held=held)], sites)
        for held in (False, True)
    )
    best: dict[str, tuple[float, str, int, float]] = {}
    for dictionary in dictionaries.values():
        activations = dictionary.encode(seen.values[dictionary.site])
        fits = concepts.scores(activations, seen.labels())
        holds = concepts.scores(dictionary.encode(new.values[dictionary.site]), new.labels(), activations.amax(0))
        for column, concept in enumerate(concepts.CONCEPTS):
            atom = int(fits[:, column].argmax())
            found = (float(fits[atom, column]), dictionary.site, atom, float(holds[atom, column]))
            best[concept] = max(best.get(concept, (-1.0, "", 0, 0.0)), found)
    rows = [(concept, site, atom, fit, hold) for concept, (fit, site, atom, hold) in best.items()]
    return pl.DataFrame(rows, schema=["concept", "site", "atom", "f1", "f1_held_out"], orient="row")
