"""Edges against their definition, worked out with plain PyTorch hooks, and what must hold of them in any model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import polars as pl
import pytest
import torch

import interp_widgets as iw
from interp_widgets.errors import DictionaryError, FrameError, SiteError, TextError
from interp_widgets.methods.circuits import direct, edges
from interp_widgets.methods.circuits.dictionaries import dictionaries_of
from interp_widgets.methods.circuits.edges import run_edges
from interp_widgets.methods.circuits.prompts import prompts_of
from interp_widgets.sae.dictionary import GroupMax, JumpReLU, Linear, ReLU, TopK
from tests.methods.direct_paths import Brute, dictionary, names, node_frame
from tests.session import families, tiny

CLEAN, CORRUPT = [1, 17, 42, 8, 63], [1, 17, 51, 8, 63]
ANSWER, FOIL = 11, 12
ASKED = {"answer": ANSWER, "foil": FOIL}
LAYER = ("attn_out", "mlp_out", "resid_post")
ALL = ("embed", *(f"{kind}.{layer}" for layer in range(tiny.LAYERS) for kind in LAYER))
EVERYWHERE = range(len(CLEAN))


@pytest.fixture(scope="module")
def llama() -> families.Family:
    return families.make("llama")


def dictionaries_at(session, sites: Sequence[str] = ALL, **more):
    return {site: dictionary(session, site, **more) for site in sites}


def brute(family, dictionaries, kept, clean=CLEAN, corrupt=CORRUPT) -> dict[tuple[str, str], float]:
    counted = prompts_of(family.session, clean, corrupt, ANSWER, FOIL).batches[0].counted[0]
    return {(s, t): w for s, t, w in Brute(family, dictionaries).edges(clean, corrupt, ANSWER, FOIL, counted, kept)}


def found_edges(session, dictionaries, kept, clean=CLEAN, corrupt=CORRUPT) -> pl.DataFrame:
    return iw.methods.circuit_edges(
        session, clean=clean, corrupt=corrupt, **ASKED, dictionaries=dictionaries, nodes=node_frame(kept)
    )


def weights(frame: pl.DataFrame) -> dict[tuple[str, str], float]:
    return {(s, t): w for s, t, w in frame.select("source", "target", "weight").iter_rows()}


def assert_equal(found: dict, expected: dict, close: float = 2e-5) -> None:
    """Of an edge that is not listed the weight is 0."""
    largest = max(map(abs, expected.values()))
    assert largest > 0
    for pair in found.keys() | expected.keys():
        assert found.get(pair, 0.0) == pytest.approx(expected.get(pair, 0.0), abs=close * largest), pair


def sites_of(frame: pl.DataFrame) -> set[tuple[str, str]]:
    return {(s.split("/")[0], t.split("/")[0]) for s, t in weights(frame)}


# the definition


@pytest.mark.parametrize("variant", tiny.VARIANTS)
def test_every_family_against_hooks(variant: str) -> None:
    family = families.make(variant)
    dictionaries = dictionaries_at(family.session)
    kept = names(family.session, dictionaries, EVERYWHERE)
    found = found_edges(family.session, dictionaries, kept)
    assert_equal(weights(found), brute(family, dictionaries, kept))
    assert len(found) > 250
    kinds = sites_of(found)
    assert (("attn_out.1", "mlp_out.1") in kinds) == (variant not in tiny.PARALLEL)
    assert {("resid_post.0", "mlp_out.1"), ("embed", "resid_post.0"), ("embed", "attn_out.0")} <= kinds
    assert not {("embed", "resid_post.1"), ("attn_out.1", "answer"), ("attn_out.0", "attn_out.1")} & kinds


@pytest.mark.parametrize("variant", ["llama", "gpt_neox", "gemma2", "falcon"])
@pytest.mark.parametrize(
    "sites",
    [
        ("resid_post.0", "resid_post.1"),
        ("embed", "resid_post.1"),
        ("mlp_out.0", "mlp_out.1"),
        ("mlp_act.0", "mlp_act.1"),
        ("embed", "mlp_in.0", "mlp_act.0", "attn_out.1"),
        ("attn_out.0", "mlp_in.1", "mlp_out.1"),
    ],
    ids=", ".join,
)
def test_any_subset_of_sites(variant: str, sites: tuple[str, ...]) -> None:
    """Nodes far apart are joined by what lies between them, attention too, and only what has a dictionary stops."""
    family = families.make(variant)
    dictionaries = dictionaries_at(family.session, sites)
    kept = names(family.session, dictionaries, EVERYWHERE)
    found = found_edges(family.session, dictionaries, kept)
    assert_equal(weights(found), brute(family, dictionaries, kept))
    ends = {target for _, target in sites_of(found)}
    assert "answer" in ends


NORMS, KINDS = ("", "center", "layer_norm", "unit_rms"), (ReLU, TopK, JumpReLU, GroupMax, Linear)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_dictionary(llama, kind: type, norm: str) -> None:
    """`Brute` differentiates the whole encoder: that a nonlinearity only says which atoms are on is no assumption there. With a
    corrupt prompt and without one in turn."""
    pair = (NORMS.index(norm) + KINDS.index(kind)) % 2
    sites = ("embed", "attn_out.0", "resid_post.0", "mlp_out.1")
    dictionaries = dictionaries_at(llama.session, sites, kind=kind, norm=norm, subtract=norm != "center")
    kept = names(llama.session, dictionaries, EVERYWHERE, atoms=8)
    corrupt = CORRUPT if pair else None
    found = found_edges(llama.session, dictionaries, kept, corrupt=corrupt)
    assert_equal(weights(found), brute(llama, dictionaries, kept, corrupt=corrupt))
    assert any("error" in s and "error" in t for s, t in weights(found))


@pytest.mark.parametrize("site", ["resid_mid.0", "resid_mid.1", "resid_pre.1", "head_out.1.2"])
def test_sites_that_hooks_cannot_replace(llama, site: str) -> None:
    """The other sites are the session's own; that it reads and writes them truly is tests/session. What goes out of a node is its
    effect, so no path is lost or counted twice."""
    sites = ("embed", "attn_out.0", "mlp_out.1", site)
    dictionaries = dictionaries_at(llama.session, sites)
    nodes = node_frame(names(llama.session, dictionaries, EVERYWHERE, atoms=24))
    asked = {"clean": CLEAN, "corrupt": CORRUPT, **ASKED, "dictionaries": dictionaries}
    found = iw.methods.circuit_edges(llama.session, **asked, nodes=nodes)
    effects = iw.methods.circuit(llama.session, **asked)
    assert any(site in pair for pair in sites_of(found))
    assert_outflow(found, effects)


def assert_outflow(found: pl.DataFrame, effects: pl.DataFrame, close: float = 2e-5) -> None:
    """By the chain rule what a node does is what it does through the next nodes of all its paths, the answer among them."""
    out = found.group_by("source").agg(pl.col("weight").sum())
    both = effects.join(out, left_on="node", right_on="source", how="left").with_columns(
        pl.col("weight").fill_null(0.0)
    )
    worst = both.select((pl.col("weight") - pl.col("effect")).abs().max()).item()
    assert worst < close * float(effects["effect"].abs().max())


@pytest.mark.parametrize("variant", tiny.VARIANTS)
def test_what_goes_out_of_a_node_is_its_effect(variant: str) -> None:
    session = families.make(variant).session
    dictionaries = dictionaries_at(session)
    nodes = node_frame(names(session, dictionaries, EVERYWHERE, atoms=24))
    asked = {"clean": CLEAN, "corrupt": CORRUPT, **ASKED, "dictionaries": dictionaries}
    effects = iw.methods.circuit(session, **asked)
    assert len(effects) > 100
    assert_outflow(iw.methods.circuit_edges(session, **asked, nodes=nodes), effects)


def test_finite_differences(llama) -> None:
    """How far the target moves when the source moves a little and every other site is held at its clean value."""
    sites = ("embed", "attn_out.0", "resid_post.0", "attn_out.1", "mlp_out.1")
    dictionaries = dictionaries_at(llama.session, sites)
    found = weights(found_edges(llama.session, dictionaries, names(llama.session, dictionaries, EVERYWHERE)))
    plain = families.make("llama").plain.double()
    exact = Brute(families.Family("llama", llama.session, plain), dictionaries)
    clean, slopes = exact.values(CLEAN), exact.slopes(CLEAN, ANSWER, FOIL)
    for source, target in (
        ("embed/0@2", "attn_out.0/4@4"),
        ("resid_post.0/8@3", "attn_out.1/12@4"),
        ("attn_out.1/4@4", "mlp_out.1/8@4"),
    ):
        u, d = iw.frames.circuits.parse_node(source), iw.frames.circuits.parse_node(target)
        read, write = dictionaries[u.site], dictionaries[d.site]

        def value(step: float, u=u, d=d, read=read, write=write) -> float:
            got: dict[str, torch.Tensor] = {}
            moved = clean[u.site].clone()
            moved[u.position] += step * read.W_dec[u.atom]
            do = {site: (lambda x, site=site: clean[site]) for site in dictionaries}
            do |= {u.site: lambda x: moved, d.site: lambda x: got.setdefault("x", x)}
            with torch.no_grad():
                exact.run(CLEAN, do)
            return float(((got["x"][d.position] - write.b_dec) @ write.W_enc[:, d.atom].double()) + write.b_enc[d.atom])

        on = float(write.encode(clean[d.site].float())[d.position, d.atom]) > 0
        slope = (value(1e-2) - value(-1e-2)) / 2e-2  # norms inside the model compute in float32
        weight = float(slopes[d.site][d.position] @ write.W_dec[d.atom].double())
        corrupt = read.encode(exact.values(CORRUPT)[u.site].float())[u.position, u.atom]
        change = float(read.encode(clean[u.site].float())[u.position, u.atom] - corrupt)
        assert found.get((source, target), 0.0) == pytest.approx(weight * slope * change * on, rel=2e-3, abs=1e-9)


# what must hold


def test_coordinates_are_joined_by_the_identity(llama) -> None:
    """The stream after a layer is the stream before it plus attention plus MLP, coordinate by coordinate. So each coordinate has
    three edges into it from its like, which add up to its own effect; and no error has any effect."""
    session = llama.session
    asked = {"clean": CLEAN, "corrupt": CORRUPT, **ASKED, "dictionaries": "coordinates"}
    nodes = iw.methods.circuit(session, **asked)
    assert set(nodes["kind"]) == {"atom"}
    found = iw.methods.circuit_edges(session, **asked, nodes=nodes)
    into = found.filter(pl.col("target").str.starts_with("resid_post.1/"))
    unit = [pl.col(end).str.split("/").list.last() for end in ("source", "target")]
    assert len(into.filter(unit[0] != unit[1])) == 0
    assert {s for s, _ in sites_of(into)} == {"resid_post.0", "attn_out.1", "mlp_out.1"}
    sums = into.group_by("target").agg(pl.col("weight").sum()).join(nodes, left_on="target", right_on="node")
    assert len(sums) == tiny.WIDTH  # at the last position
    assert sums.select((pl.col("weight") - pl.col("effect")).abs().max()).item() < 1e-5
    assert_outflow(found, nodes)
    assert "error" not in " ".join(found["source"].to_list() + found["target"].to_list())


def test_parallel_branches_add_up_to_the_answer() -> None:
    """Attention and MLP of the last layer side by side, with no node after them: each has one path, into the answer."""
    session = families.make("gpt_neox").session
    dictionaries = dictionaries_at(session, ("attn_out.1", "mlp_out.1"))
    asked = {"clean": CLEAN, "corrupt": CORRUPT, **ASKED, "dictionaries": dictionaries}
    nodes = iw.methods.circuit(session, **asked)
    found = iw.methods.circuit_edges(session, **asked, nodes=nodes)
    assert set(found["target"]) == {"answer"}
    both = nodes.join(found, left_on="node", right_on="source", how="left").with_columns(
        pl.col("weight").fill_null(0.0)
    )
    largest = float(nodes["effect"].abs().max())
    assert both.select((pl.col("weight") - pl.col("effect")).abs().max()).item() < 1e-5 * largest


def test_a_path_through_a_stopped_node_is_no_edge() -> None:
    """What attention of layer 0 writes at the last token reaches the MLP of layer 1 there by its input alone. A dictionary on that
    input stops it, though no node of it is kept."""
    session = families.make("gpt_neox").session
    sites = ("attn_out.0", "mlp_in.1", "mlp_out.1")
    kept = [f"{site}/{i}@4" for site in ("attn_out.0", "mlp_out.1") for i in range(24)]
    stopped = found_edges(session, dictionaries_at(session, sites), kept)
    free = found_edges(session, dictionaries_at(session, ("attn_out.0", "mlp_out.1")), kept)
    assert ("attn_out.0", "mlp_out.1") in sites_of(free)
    assert sites_of(stopped) == {("attn_out.0", "answer"), ("mlp_out.1", "answer")}


def test_summed_positions(llama) -> None:
    dictionaries = dictionaries_at(llama.session, ALL, kind=TopK)
    apart = brute(llama, dictionaries, names(llama.session, dictionaries, EVERYWHERE))
    expected: dict[tuple[str, str], float] = {}
    for (source, target), weight in apart.items():
        pair = source.split("@")[0], target.split("@")[0]
        expected[pair] = expected.get(pair, 0.0) + weight
    found = found_edges(llama.session, dictionaries, names(llama.session, dictionaries, None))
    assert_equal(weights(found), expected)


def test_only_kept_nodes_and_everything_else_still_stops(llama) -> None:
    dictionaries = dictionaries_at(llama.session)
    kept = names(llama.session, dictionaries, EVERYWHERE)
    whole = weights(found_edges(llama.session, dictionaries, kept))
    some = [name for i, name in enumerate(kept) if i % 3 == 0 and not name.startswith("resid_post.0")]
    part = weights(found_edges(llama.session, dictionaries, some))
    inside = {pair: w for pair, w in whole.items() if pair[0] in some and (pair[1] in some or pair[1] == "answer")}
    assert set(part) == set(inside)
    assert_equal(part, inside, close=1e-6)


def test_means_and_intervals_over_prompts(llama) -> None:
    """Of three prompts, one shorter; the interval is that of Student for three numbers."""
    dictionaries = dictionaries_at(llama.session, ALL, kind=TopK)
    cleans = [CLEAN, [1, 30, 31, 32, 33], [1, 40, 41, 42]]
    corrupts = [CORRUPT, [1, 35, 31, 32, 33], [1, 45, 41, 42]]
    kept = names(llama.session, dictionaries, None, atoms=24)
    single = [
        weights(found_edges(llama.session, dictionaries, kept, clean, corrupt))
        for clean, corrupt in zip(cleans, corrupts, strict=True)
    ]
    found = found_edges(llama.session, dictionaries, kept, cleans, corrupts)
    assert set(weights(found)) == set().union(*single)
    numbers = {pair: torch.tensor([each.get(pair, 0.0) for each in single]).double() for pair in weights(found)}
    assert_equal(weights(found), {pair: float(each.mean()) for pair, each in numbers.items()})
    for source, target, weight, low, high in found.head(50).iter_rows():
        half = 4.302653 * float(numbers[source, target].std()) / 3**0.5
        assert (low, high) == pytest.approx((weight - half, weight + half), rel=1e-3, abs=1e-6)
    one = found_edges(llama.session, dictionaries, kept)
    assert one["low"].null_count() == len(one)
    assert found["weight"].abs().is_sorted(descending=True)


def test_pieces_and_steps_change_nothing(llama, monkeypatch) -> None:
    dictionaries = dictionaries_at(llama.session)
    kept = names(llama.session, dictionaries, EVERYWHERE)
    many = ([CLEAN, [1, 30, 31, 32, 33]], [CORRUPT, [1, 35, 31, 32, 33]])
    whole = weights(found_edges(llama.session, dictionaries, kept, *many))
    monkeypatch.setattr(direct, "TOKENS_BACK", 1)
    assert_equal(weights(found_edges(llama.session, dictionaries, kept, *many)), whole, close=1e-6)
    monkeypatch.setattr(edges, "PAIRS_AT_ONCE", 1)
    assert_equal(weights(found_edges(llama.session, dictionaries, kept, *many)), whole, close=1e-6)
    monkeypatch.setattr(direct, "mixes", lambda *_: True)
    assert_equal(weights(found_edges(llama.session, dictionaries, kept, *many)), whole, close=1e-6)


def test_where_tokens_mix(llama) -> None:
    """Only where attention lies on a path: `mixes` may say so where it does not, but never the other way round (see above)."""
    session = llama.session
    for index, site in enumerate(ALL):
        assert direct.mixes(session, site, ALL[:index]) == site.startswith("attn_out")
    assert direct.mixes(session, "mlp_out.1", ["mlp_out.0"])
    assert direct.mixes(session, "resid_post.1", ["embed", "attn_out.0"])
    assert not direct.mixes(session, "resid_post.1", ["embed", "attn_out.0", "resid_mid.1"])
    assert not direct.mixes(session, "mlp_in.1", ["resid_post.0", "attn_out.1"])
    assert direct.mixes(session, "head_out.1.0", ["attn_out.0"])
    assert direct.mixes(session, "attn_out.1", ["attn_out.0", "head_out.1.0"])
    assert not direct.mixes(session, "q.1", ["resid_pre.1"])


def test_attention_by_another_kernel_and_half_precision() -> None:
    """Warnings are errors here, so a kernel that gradients cannot be batched through would be heard of."""
    plain = families.make("llama")
    dictionaries = dictionaries_at(plain.session)
    kept = names(plain.session, dictionaries, EVERYWHERE)
    expected = weights(found_edges(plain.session, dictionaries, kept))
    other = iw.load(tiny.model("llama", attention="sdpa"), tokenizer=tiny.tokenizer())
    assert_equal(weights(found_edges(other, dictionaries, kept)), expected)
    half = iw.load(tiny.model("llama").bfloat16(), tokenizer=tiny.tokenizer())
    found = weights(found_edges(half, dictionaries, kept))
    pairs = list(expected.keys() | found.keys())
    both = torch.tensor([[each.get(pair, 0.0) for pair in pairs] for each in (expected, found)])
    assert float(torch.corrcoef(both)[0, 1]) > 0.99


def test_a_model_whose_weights_are_frozen(llama) -> None:
    dictionaries = dictionaries_at(llama.session)
    kept = names(llama.session, dictionaries, EVERYWHERE)
    frozen = iw.load(tiny.model("llama").requires_grad_(False), tokenizer=tiny.tokenizer())
    expected = weights(found_edges(llama.session, dictionaries, kept))
    assert_equal(weights(found_edges(frozen, dictionaries, kept)), expected, close=1e-6)


def test_a_metric_that_reads_a_site_of_its_own(llama) -> None:
    """As a probe does: of the stream after layer 0, here its first coordinate. Later sites have no edges."""

    class First:
        reads = "resid_post.0"

        def measure(self, model, value: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
            return value[:, -1, 0]

    dictionaries = dictionaries_of(llama.session, "coordinates")
    prompts = prompts_of(llama.session, CLEAN, CORRUPT, ANSWER, FOIL)
    prompts = replace(prompts, batches=[replace(batch, metric=First()) for batch in prompts.batches])
    found = run_edges(
        llama.session, prompts, dictionaries, node_frame(["attn_out.0/0@4", "resid_post.0/0@4", "attn_out.1/0@4"])
    )
    values = [llama.session.read(ids, ["attn_out.0", "resid_post.0"]) for ids in (CLEAN, CORRUPT)]
    change = {site: float(values[0][site][4, 0] - values[1][site][4, 0]) for site in values[0]}
    assert_equal(
        weights(found),
        {
            ("resid_post.0/0@4", "answer"): change["resid_post.0"],
            ("attn_out.0/0@4", "resid_post.0/0@4"): change["attn_out.0"],
        },
    )
    assert len(found) == 2


def test_equal_prompts_and_no_nodes_give_no_edges(llama) -> None:
    dictionaries = dictionaries_at(llama.session)
    kept = names(llama.session, dictionaries, EVERYWHERE)
    assert len(found_edges(llama.session, dictionaries, kept, CLEAN, CLEAN)) == 0
    assert found_edges(llama.session, dictionaries, []).columns == list(iw.frames.CIRCUIT_EDGES)


def test_toy_grammar_and_its_dictionaries(toy) -> None:
    asked = {"clean": ["the key near the cabinets", "the boy near the girls"],
             "corrupt": ["the keys near the cabinets", "the boys near the girls"], "answer": "is", "foil": "are"}  # fmt: skip
    nodes = iw.methods.circuit(toy, **asked)
    found = iw.methods.circuit_edges(toy, **asked, nodes=nodes)
    assert_outflow(found, nodes, close=0.05)  # atoms that are on and do not change are no nodes of the frame
    into = found.filter(pl.col("target") == "answer").join(nodes, left_on="source", right_on="node")
    assert set(into["site"]) == {"resid_post.3"}
    assert into.select((pl.col("weight") - pl.col("effect")).abs().max()).item() < 1e-5


def test_kinds_of_edges() -> None:
    """Counted by hand."""
    columns = {
        "source": ["embed/1@2", "attn_out.0/3", "attn_out.1/error@1", "attn_out.1/4@1"],
        "target": ["attn_out.0/3", "resid_post.1/9", "resid_post.1/error@1", "answer"],
        "weight": [0.5, -3.0, 1.0, 0.25],
        "low": [None] * 4,
        "high": [None] * 4,
    }
    found = iw.methods.circuit_edge_kinds(iw.frames.build(iw.frames.CIRCUIT_EDGES, columns))
    assert found.rows() == [
        ("attn_out", "resid_post", 2, 4.0),
        ("embed", "attn_out", 1, 0.5),
        ("attn_out", "answer", 1, 0.25),
    ]
    with pytest.raises(FrameError, match="does not fit"):
        iw.methods.circuit_edge_kinds(pl.DataFrame({"source": ["a"]}))


def test_what_does_not_fit(llama) -> None:
    dictionaries = dictionaries_at(llama.session, ("embed", "resid_post.1"))

    def ask(*kept: str) -> pl.DataFrame:
        return found_edges(llama.session, dictionaries, kept)

    with pytest.raises(FrameError, match="does not fit its schema"):
        iw.methods.circuit_edges(llama.session, clean=CLEAN, nodes=pl.DataFrame({"node": ["embed/0@1"]}))
    with pytest.raises(FrameError, match="twice"):
        ask("embed/0@1", "embed/0@1")
    bad = node_frame(["embed/0@1"]).with_columns(node=pl.lit("embed"))
    with pytest.raises(FrameError, match="is no node"):
        iw.methods.circuit_edges(llama.session, clean=CLEAN, dictionaries=dictionaries, nodes=bad)
    with pytest.raises(SiteError, match="which has no dictionary here"):
        ask("resid_post.0/1@1")
    with pytest.raises(TextError, match="some are summed"):
        ask("embed/0@1", "resid_post.1/0")
    with pytest.raises(TextError, match="position 5, and the prompts have 5 tokens"):
        ask("embed/0@5")
    with pytest.raises(DictionaryError, match="atom 24, and random embed has atoms 0 to 23"):
        ask("embed/24@1")
