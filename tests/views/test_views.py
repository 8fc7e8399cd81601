"""Charts: valid Vega-Lite, the right columns, honest scales, and tokens that are only ever text."""

from __future__ import annotations

import json
from typing import Any

import altair as alt
import polars as pl
import pytest

from interp_widgets import frames
from interp_widgets.errors import FrameError
from interp_widgets.frames.agreement import SCALES
from interp_widgets.views import theme
from interp_widgets.views.agreement import agreement_chart
from interp_widgets.views.atoms import atoms_chart, text_chart
from interp_widgets.views.attention import attention_chart, heads_chart
from interp_widgets.views.audit import audit_chart
from interp_widgets.views.examples import examples_chart
from interp_widgets.views.lens import TITLES, lens_chart, lines_chart
from interp_widgets.views.pairs import pairs_chart
from interp_widgets.views.patching import patching_chart
from interp_widgets.views.steering import steering_chart

TOKENS = [" the", "\n", "\t", " the", "</script><img src=x onerror=alert(1)>"]
"""Two equal texts, white space, and one that would like to be a script."""


SHOWN = ["·the", "⏎", "⇥", "·the", "</script><img·src=x·onerror=alert(1)>"]


def lens_frame(layers: int = 3, tracked: bool = True) -> pl.DataFrame:
    """Two listed tokens a cell; position 0 is an outlier in every measure."""
    rows = [(layer, p, rank) for layer in range(layers) for p in range(len(TOKENS)) for rank in (1, 2)]
    return frames.build(
        frames.LENS,
        {
            "layer": [layer for layer, _, _ in rows],
            "position": [p for _, p, _ in rows],
            "prompt_token_id": [10 + p for _, p, _ in rows],
            "prompt_token": [TOKENS[p] for _, p, _ in rows],
            "rank": [rank for *_, rank in rows],
            "token_id": [20 + rank for *_, rank in rows],
            "token": [TOKENS[(p + rank) % len(TOKENS)] for _, p, rank in rows],
            "logit": [3.0 - rank for *_, rank in rows],
            "probability": [0.5 / rank for *_, rank in rows],
            "entropy": [1000.0 if p == 0 else 1.0 + p for _, p, _ in rows],
            "kl": [2000.0 if p == 0 else 0.1 * p for _, p, _ in rows],
            "tracked_rank": [9000 if p == 0 else 5 + p for _, p, _ in rows] if tracked else [None] * len(rows),
        },
    )


def attention_frame(valued: bool = False) -> pl.DataFrame:
    """One head; key 0 takes most of every query, and query 0 has nothing else."""
    rows = [(q, k) for q in range(len(TOKENS)) for k in range(q + 1)]
    weight = [1.0 - 0.05 * q if k == 0 else 0.05 for q, k in rows]
    return frames.build(
        frames.ATTENTION,
        {
            "layer": [3] * len(rows),
            "head": [1] * len(rows),
            "position": [q for q, _ in rows],
            "token_id": [10 + q for q, _ in rows],
            "token": [TOKENS[q] for q, _ in rows],
            "key_position": [k for _, k in rows],
            "key_token_id": [10 + k for _, k in rows],
            "key_token": [TOKENS[k] for _, k in rows],
            "weight": weight,
            "value_weight": [8 * w for w in weight] if valued else [None] * len(rows),
        },
    )


def heads_frame() -> pl.DataFrame:
    columns = {name: [0.1, 0.2, 0.3, 0.4] for name in ("previous_token", "first_token", "entropy")}
    nothing = {name: [None] * 4 for name in ("induction", "duplicate_token")}
    return frames.build(
        frames.HEADS,
        {"layer": [0, 0, 1, 1], "head": [0, 1, 0, 1], **columns, **nothing, "effect": [-2.0, 0.5, None, 0.0]},
    )


def lines_frame() -> pl.DataFrame:
    rows = [(token, layer) for token in (7, 8) for layer in range(3)]  # two ids, one text
    return frames.build(
        frames.LENS_LINES,
        {
            "position": [2] * len(rows),
            "token_id": [token for token, _ in rows],
            "token": [" the"] * len(rows),
            "layer": [layer for _, layer in rows],
            "logit": [1.0] * len(rows),
            "probability": [0.1 * layer for _, layer in rows],
        },
    )


def patching_frame(positions: int = len(TOKENS), layers: int = 3, recovery: bool = True) -> pl.DataFrame:
    rows = [
        (kind, layer, p) for kind in ("resid_post", "attn_out") for layer in range(layers) for p in range(positions)
    ]
    effects = [(-2.0 if p == 1 else 0.5) * (layer + 1) for _, layer, p in rows]
    return frames.build(
        frames.PATCHING,
        {
            "site": [f"{kind}.{layer}" for kind, layer, _ in rows],
            "layer": [layer for _, layer, _ in rows],
            "position": [p for *_, p in rows],
            "last_position": [p for *_, p in rows],
            "token_id": [10 + p for *_, p in rows],
            "token": [TOKENS[p % len(TOKENS)] for *_, p in rows],
            "source_position": [p for *_, p in rows],
            "method": ["exact"] * len(rows),
            "metric": effects,
            "effect": effects,
            "recovery": [x / 10 if recovery else None for x in effects],
            "logit_difference": effects,
            "probability": [0.25] * len(rows),
        },
    )


def atoms_frames() -> tuple[pl.DataFrame, pl.DataFrame]:
    at = [p for p in range(len(TOKENS)) for _ in range(4)]
    tokens = {"token_id": [10 + p for p in at], "token": [TOKENS[p] for p in at], "site": ["resid_post.2"] * len(at)}
    atoms = [i % 4 + 100 for i in range(len(at))]
    active = frames.build(
        frames.ATOMS,
        {
            "position": at,
            **tokens,
            "atom": atoms,
            "activation": [float(104 - a) for a in atoms],
            "share": [0.1] * len(at),
        },
    )
    n = len(TOKENS)
    reconstruction = frames.build(
        frames.RECONSTRUCTION,
        {
            "position": range(n),
            "token_id": [10 + p for p in range(n)],
            "token": TOKENS,
            "site": ["resid_post.2"] * n,
            "active": [4] * n,
            "norm": [1.0] * n,
            "error_norm": [0.5] * n,
            "error_share": [0.25] * n,
            "bias_share": [-0.05] * n,
            "skip_share": [0.0] * n,
            "masked": [p == 0 for p in range(n)],
        },
    )
    return active, reconstruction


def activations() -> pl.DataFrame:
    frame, _ = atoms_frames()
    return (
        frame.filter(pl.col("atom") < 102)
        .with_columns(
            activation=pl.when(pl.col("position") == 0).then(900.0).otherwise(pl.col("position").cast(pl.Float64))
        )
        .select("position", "token_id", "token", "atom", "activation")
    )


CHARTS = {
    **{f"lens by {color}": lambda color=color: lens_chart(lens_frame(), color=color, masked=[0]) for color in TITLES},
    "lens, one layer": lambda: lens_chart(lens_frame(1)),
    "lines": lambda: lines_chart(lines_frame()),
    "patching": lambda: patching_chart(patching_frame()),
    "patching, probability": lambda: patching_chart(patching_frame(), site="attn_out", metric="probability"),
    "patching, recovery": lambda: patching_chart(patching_frame(), metric="recovery"),
    "patching, no recovery": lambda: patching_chart(patching_frame(recovery=False), metric="recovery"),
    "atoms": lambda: atoms_chart(*atoms_frames(), position=1),
    "atoms, last token": lambda: atoms_chart(*atoms_frames()),
    "text": lambda: text_chart(activations()),
}


def spec_of(chart: alt.Chart) -> dict[str, Any]:
    return chart.to_dict(validate=True)


def values_of(spec: dict[str, Any]) -> list[dict[str, Any]]:
    if "values" in spec["data"]:
        return spec["data"]["values"]
    (values,) = spec["datasets"].values()
    return values


def shaded(spec: dict[str, Any]) -> dict[str, Any]:
    """What the colours are of: the chart, or its lowest layer."""
    return spec["layer"][0] if "layer" in spec else spec


def channels(spec: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for channel in shaded(spec)["encoding"].values():
        found += channel if isinstance(channel, list) else [channel]
    return found


def domain_of(chart: alt.Chart) -> list[float]:
    return shaded(spec_of(chart))["encoding"]["color"]["scale"]["domain"]


@pytest.mark.parametrize("name", CHARTS)
def test_every_chart_validates_and_encodes_columns_that_are_there(name) -> None:
    spec = spec_of(CHARTS[name]())
    data = values_of(spec)
    assert data
    for channel in channels(spec):
        assert channel["field"] in data[0], channel
        assert channel["type"] in ("quantitative", "nominal", "ordinal"), channel


@pytest.mark.parametrize("name", CHARTS)
def test_no_chart_has_an_address_a_html_title_or_a_number_that_json_lacks(name) -> None:
    spec = spec_of(CHARTS[name]())
    text = json.dumps(
        {key: value for key, value in spec.items() if key not in ("$schema", "datasets")}, allow_nan=False
    )
    assert "http" not in text
    json.dumps(values_of(spec), allow_nan=False)
    assert spec["background"] == "transparent"


@pytest.mark.parametrize("name", CHARTS)
def test_a_tooltip_says_each_thing_once(name) -> None:
    fields = [each["field"] for each in shaded(spec_of(CHARTS[name]()))["encoding"].get("tooltip", [])]
    assert len(fields) == len(set(fields))


# The lens


@pytest.mark.parametrize("color", TITLES)
def test_the_lens_draws_one_cell_per_layer_and_position_coloured_by(color) -> None:
    spec = spec_of(lens_chart(lens_frame(), color=color))
    assert shaded(spec)["mark"]["type"] == "rect"
    encoding = shaded(spec)["encoding"]
    assert (encoding["x"]["field"], encoding["y"]["field"]) == ("column", "layer")
    assert encoding["color"]["field"] == ("tracked_rank" if color == "rank" else color)
    assert encoding["color"]["title"] == TITLES[color]
    cells = [(row["layer"], row["position"]) for row in values_of(spec)]
    assert sorted(cells) == [(layer, p) for layer in range(3) for p in range(len(TOKENS))]


@pytest.mark.parametrize(
    ("color", "with_outlier", "without"), [("entropy", 1000, 5), ("kl", 2000, 0.4), ("rank", 9000, 9)]
)
def test_masked_positions_are_drawn_but_do_not_set_the_scale(color, with_outlier, without) -> None:
    assert domain_of(lens_chart(lens_frame(), color=color))[1] == pytest.approx(with_outlier)
    masked = lens_chart(lens_frame(), color=color, masked=[0])
    assert domain_of(masked)[1] == pytest.approx(without)
    color = shaded(spec_of(masked))["encoding"]["color"]
    assert color["scale"]["clamp"] is True
    assert color["condition"] == {"test": "datum.masked", "value": theme.MASKED}
    assert {row["position"] for row in values_of(spec_of(masked)) if row["masked"]} == {0}
    assert spec_of(masked)["title"]["subtitle"] == [
        "Grey: position 0 (attention sink or start marker), left out of the colour scale."
    ]


def test_probability_has_the_same_scale_in_every_chart() -> None:
    assert domain_of(lens_chart(lens_frame(), masked=[0])) == [0, 1]


def test_a_rank_is_drawn_on_a_log_scale_with_the_likeliest_dark() -> None:
    scale = shaded(spec_of(lens_chart(lens_frame(), color="rank")))["encoding"]["color"]["scale"]
    assert scale["type"] == "log"
    assert scale["reverse"] is True
    assert scale["domain"][0] == 1


def test_if_everything_is_masked_the_scale_still_has_a_length() -> None:
    low, high = domain_of(lens_chart(lens_frame(), color="kl", masked=range(len(TOKENS))))
    assert low < high


def test_a_measure_that_is_zero_everywhere_has_a_scale() -> None:
    flat = lens_frame().with_columns(kl=pl.lit(0.0))
    low, high = domain_of(lens_chart(flat, color="kl"))
    assert low < high


def test_a_colour_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(FrameError, match=r"'hue' is no colour of the lens.*probability, entropy, kl, rank"):
        lens_chart(lens_frame(), color="hue")


def test_rank_without_a_tracked_token_says_how_to_get_one() -> None:
    with pytest.raises(FrameError, match="track=token"):
        lens_chart(lens_frame(tracked=False), color="rank")


def test_lines_keep_two_ids_with_one_text_apart() -> None:
    spec = spec_of(lines_chart(lines_frame()))
    assert spec["encoding"]["x"]["field"] == "layer"
    assert spec["encoding"]["y"]["field"] == "probability"
    assert {row["line"] for row in values_of(spec)} == {"2 ·the (7)", "2 ·the (8)"}


# Patching


@pytest.mark.parametrize("site", ["resid_post", "attn_out"])
def test_patching_draws_one_kind_of_site(site) -> None:
    assert {row["site"].split(".")[0] for row in values_of(spec_of(patching_chart(patching_frame(), site=site)))} == {
        site
    }


@pytest.mark.parametrize(
    ("metric", "column", "top"),
    [("logit_difference", "effect", 6), ("probability", "effect", 6), ("recovery", "recovery", 0.6)],
)
def test_the_patching_scale_is_symmetric_about_zero(metric, column, top) -> None:
    encoding = spec_of(patching_chart(patching_frame(), metric=metric))["encoding"]
    assert encoding["color"]["field"] == column
    assert encoding["color"]["scale"]["domain"] == pytest.approx([-top, 0, top])


def test_a_kind_of_site_that_is_missing_is_named_with_those_that_are_there() -> None:
    with pytest.raises(FrameError, match=r"no cells of mlp_out.*resid_post"):
        patching_chart(patching_frame(), site="mlp_out")


def test_a_metric_that_does_not_exist_is_refused() -> None:
    with pytest.raises(FrameError, match="'loss' is no metric"):
        patching_chart(patching_frame(), metric="loss")


def test_a_grid_of_more_than_five_thousand_cells_can_be_drawn() -> None:
    spec = spec_of(patching_chart(patching_frame(positions=200, layers=30)))
    assert len(values_of(spec)) == 6000


# Atoms


def test_bias_and_error_stand_beside_the_atoms() -> None:
    spec = spec_of(atoms_chart(*atoms_frames(), position=1))
    shown = {row["part"]: row["share"] for row in values_of(spec)}
    assert shown == {"#100": 0.1, "#101": 0.1, "#102": 0.1, "#103": 0.1, "bias": -0.05, "reconstruction error": 0.25}
    assert spec["encoding"]["x"]["field"] == "share"
    assert spec["encoding"]["y"]["sort"] == ["#100", "#101", "#102", "#103", "bias", "reconstruction error"]
    assert spec["title"] == {"text": "Position 1 ⏎: active atoms", "subtitle": ["Drawn: 4. |error| / |x| = 0.500."]}
    title = spec_of(atoms_chart(*atoms_frames(), position=0, most=3))["title"]["subtitle"][0]
    assert title == "Drawn: the strongest 3 of 4. |error| / |x| = 0.500. An attention sink or a start marker."


def test_a_skip_connection_stands_apart() -> None:
    active, reconstruction = atoms_frames()
    spec = spec_of(atoms_chart(active, reconstruction.with_columns(skip_share=pl.lit(0.4)), position=1, most=1))
    assert {row["part"]: row["share"] for row in values_of(spec)}["skip connection"] == 0.4
    assert spec["encoding"]["y"]["sort"] == ["#100", "bias", "skip connection", "reconstruction error"]


def test_few_atoms_may_be_asked_for_but_the_error_stays() -> None:
    parts = [row["part"] for row in values_of(spec_of(atoms_chart(*atoms_frames(), most=1)))]
    assert parts == ["#100", "bias", "reconstruction error"]


def test_a_position_that_does_not_exist_is_refused() -> None:
    with pytest.raises(FrameError, match="no position 99"):
        atoms_chart(*atoms_frames(), position=99)


def test_the_text_of_several_atoms_leaves_masked_positions_out_of_the_scale() -> None:
    spec = spec_of(text_chart(activations(), masked=[0]))
    assert spec["encoding"]["color"]["field"] == "activation"
    assert spec["encoding"]["color"]["scale"]["domain"] == [0, 4]
    assert spec_of(text_chart(activations()))["encoding"]["color"]["scale"]["domain"] == [0, 900]
    assert {row["atom"] for row in values_of(spec)} == {100, 101}


def test_an_atom_that_never_fires_has_a_scale() -> None:
    low, high = domain_of(text_chart(activations().with_columns(activation=pl.lit(0.0))))
    assert low < high


# Tokens as text


@pytest.mark.parametrize("name", ["lens by probability", "patching", "text"])
def test_each_position_has_its_own_label_in_reading_order(name) -> None:
    spec = spec_of(CHARTS[name]())
    order = shaded(spec)["encoding"]["x"]["sort"]
    assert order[:4] == ["0 ·the", "1 ⏎", "2 ⇥", "3 ·the"]
    assert len(set(order)) == len(TOKENS)
    assert {row["column"] for row in values_of(spec)} == set(order)


@pytest.mark.parametrize("hidden", [" ", "\n", "\t", "\r", "\u00a0", "\0", "\x1b"])
def test_white_space_becomes_visible(hidden) -> None:
    shown = pl.DataFrame({"token": [f"a{hidden}b"]}).select(theme.visible("token")).item()
    assert hidden not in shown
    assert len(shown) == 3


@pytest.mark.parametrize("name", ["lens by probability", "patching", "text"])
def test_a_token_that_looks_like_a_script_is_data_and_nothing_else(name) -> None:
    spec = spec_of(CHARTS[name]())
    rows = [row for row in values_of(spec) if row["position"] == 4]
    assert rows
    assert all(TOKENS[4] in row.values() for row in rows), "the exact text is kept"
    outside = {key: value for key, value in spec.items() if key not in ("data", "datasets", "layer")}
    for part in spec.get("layer", [spec]):
        outside["encoding"] = {key: value for key, value in part["encoding"].items() if key != "x"}
        assert "<script" not in json.dumps(outside)
    assert "<script" not in json.dumps(outside)
    assert "<img" not in json.dumps(outside)


def test_an_attention_chart_ends_its_scale_beside_the_sink() -> None:
    chart = attention_chart(attention_frame()).to_dict()
    assert chart["encoding"]["color"]["scale"]["domain"] == [0, 0.05]
    assert attention_chart(attention_frame(), leave_first=False).to_dict()["encoding"]["color"]["scale"]["domain"] == [
        0,
        1,
    ]
    assert len(values_of(chart)) == 15, "the sink is drawn, too"
    assert chart["encoding"]["x"]["sort"] == [f"{i} {shown}" for i, shown in enumerate(SHOWN)]
    assert chart["encoding"]["y"]["sort"] == chart["encoding"]["x"]["sort"], "two equal texts are two rows"
    assert chart["title"]["text"] == "Attention of layer 3, head 1"
    assert "what is over 0.05 is drawn as 0.05" in chart["title"]["subtitle"][0]


def test_an_attention_chart_of_value_weights() -> None:
    chart = attention_chart(attention_frame(valued=True)).to_dict()
    assert chart["encoding"]["color"]["field"] == "value_weight"
    assert chart["encoding"]["color"]["scale"]["domain"][1] == pytest.approx(0.4)


def test_an_attention_chart_is_of_one_head() -> None:
    one = attention_frame()
    with pytest.raises(FrameError, match="holds 2"):
        attention_chart(pl.concat([one, one.with_columns(pl.lit(2, pl.Int32).alias("head"))]))
    with pytest.raises(FrameError, match="holds 0"):
        attention_chart(one.clear())


def test_a_chart_of_heads_leaves_out_what_is_not_defined() -> None:
    chart = heads_chart(heads_frame(), "effect").to_dict()
    assert chart["encoding"]["color"]["scale"]["domain"] == [-2, 0, 2]
    assert len(values_of(chart)) == 3
    assert "induction" not in [each["field"] for each in chart["encoding"]["tooltip"]]
    assert heads_chart(heads_frame(), "entropy").to_dict()["encoding"]["color"]["scale"]["domain"] == [0, 0.4]
    with pytest.raises(FrameError, match="No head of this frame"):
        heads_chart(heads_frame())
    with pytest.raises(FrameError, match="is no score of a head"):
        heads_chart(heads_frame(), "size")


def pair_summary(layers: int = 4) -> pl.DataFrame:
    """Position 9 falls over the layers, 13 rises, 11 stays near zero."""
    rows = [(layer, p) for layer in range(layers) for p in (9, 11, 13)]
    mean = [{9: 1 - layer / layers, 11: 0.01, 13: layer / layers}[p] for layer, p in rows]
    return frames.build(
        frames.PAIR_SUMMARY,
        {
            "site": [f"resid_post.{layer}" for layer, _ in rows],
            "layer": [layer for layer, _ in rows],
            "position": [p for _, p in rows],
            "last_position": [p for _, p in rows],
            "pairs": [40] * len(rows),
            "mean": mean,
            "low": [x - 0.1 for x in mean],
            "high": [x + 0.1 for x in mean],
            "p": [0.01] * len(rows),
            "q": [0.02] * len(rows),
            "baseline": [None] * len(rows),
        },
    )


def test_means_over_pairs_are_lines_with_bands() -> None:
    chart = pairs_chart(pair_summary(), tokens={9: " Mary…"}).to_dict()
    assert [layer["mark"]["type"] for layer in chart["layer"]] == ["area", "line"]
    assert chart["title"]["subtitle"] == ["Mean over 40 pairs; band: 95% interval."]
    values = next(iter(chart.get("datasets", {}).values()), None) or chart["data"]["values"]
    assert len(values) == 12
    first = values[0]
    assert (first["where"], first["line"], first["mean"], first["low"]) == ("9 ·Mary…", "9 ·Mary…", 1.0, 0.9)
    assert {row["line"] for row in values if row["position"] == 11} == {"others"}, "nothing to tell apart"
    assert "13" in {row["line"] for row in values}, "a position without a name"
    scale = chart["layer"][1]["encoding"]["color"]["scale"]
    assert scale["domain"][-1] == "others"
    assert len(set(scale["range"])) == 3
    with pytest.raises(FrameError, match="no cells of mlp_out"):
        pairs_chart(pair_summary(), site="mlp_out")
    with pytest.raises(FrameError, match="no metric of patching"):
        pairs_chart(pair_summary(), metric="rank")


def steering_frame() -> pl.DataFrame:
    """One direction that raises every metric with its strength, and two random ones a little above and below the baseline."""
    rows = [("baseline", None, 0.0, 0.0), *(("given", None, s, abs(s) / 10) for s in (-2.0, 0.0, 2.0))]
    rows += [("random", seed, s, abs(s) / 10) for seed in (0, 1) for s in (-2.0, 0.0, 2.0)]
    value = [s if who == "given" else {0: 0.5, 1: -0.3, None: 0.0}[seed] * abs(s) for who, seed, s, _ in rows]
    columns = dict(zip(("direction", "seed", "strength", "norm_ratio"), zip(*rows, strict=True), strict=True))
    return frames.build(
        frames.STEERING, columns | {"logit_difference": value, "probability": value, "kl": value, "fluency": value}
    )


def test_a_dose_response_curve_has_the_random_ones_beside_it() -> None:
    chart = steering_chart(steering_frame(), metric="kl").to_dict()
    assert [layer["mark"]["type"] for layer in chart["layer"]] == ["area", "line"]
    assert chart["title"]["subtitle"] == ["2 random directions of the same length; band: their range."]
    band, lines = (rows_of(chart, layer) for layer in chart["layer"])
    assert [(row["strength"], row["low"], row["high"]) for row in band] == [(-2, -0.6, 1), (0, 0, 0), (2, -0.6, 1)]
    assert [row["value"] for row in lines if row["line"] == "given direction"] == [-2, 0, 2]
    assert [row["value"] for row in lines if row["line"] == "random, mean"] == pytest.approx([0.2, 0, 0.2])
    assert [(row["strength"], row["value"]) for row in lines if row["line"] == "baseline"] == [(-2, 0), (2, 0)]
    line = chart["layer"][1]["encoding"]
    assert len({str(dash) for dash in line["strokeDash"]["scale"]["range"]}) == 3, "told apart without colour"
    assert line["y"]["title"] == "KL from the baseline, nats"
    with pytest.raises(FrameError, match="no metric of steering"):
        steering_chart(steering_frame(), metric="recovery")
    alone = steering_frame().filter(pl.col("direction") != "random")
    chart = steering_chart(alone).to_dict()
    assert rows_of(chart, chart["layer"][0]) == []
    assert chart["title"] == "Steering", "none beside it, none named"
    named = steering_chart(steering_frame(), answer=" le", foil=" the").to_dict()["layer"][1]["encoding"]["y"]["title"]
    assert named == "logit(' le') − logit(' the')"


def rows_of(chart: dict, layer: dict) -> list[dict]:
    """The data of a layer, which Altair may keep at the top of the chart."""
    return layer["data"]["values"] if "values" in layer["data"] else chart["datasets"][layer["data"]["name"]]


def test_an_audit_is_bars_with_their_intervals() -> None:
    names = ["planted", "pca"]
    columns = {
        "site": ["resid_post.2"] * 4, "dictionary": names * 2, "source": ["all", "all", "this text", "this text"],
        "quantity": ["cosine"] * 4, "value": [0.9, 0.5, 0.8, 0.4], "low": [0.8, 0.4, None, None], "high": [0.95, 0.6, None, None],
        "n": [100, 100, 9, 9], "definition": ["of x and x_hat"] * 4,
    }  # fmt: skip
    frame = frames.build(frames.AUDIT, columns)
    chart = audit_chart(frame, quantity="cosine", label="cosine").to_dict()
    bars, intervals = chart["layer"]
    assert chart["title"]["text"] == "cosine at resid_post.2"
    assert bars["encoding"]["y"]["sort"] == names
    assert bars["encoding"]["color"]["scale"]["domain"] == ["all", "this text"]
    assert (intervals["encoding"]["x"]["field"], intervals["encoding"]["x2"]["field"]) == ("low", "high")
    assert [len(rows) for rows in chart["datasets"].values()] == [4]
    with pytest.raises(FrameError, match=r"no values of 'beauty'; it has cosine"):
        audit_chart(frame, quantity="beauty")


def examples_frame(*kinds: str, atom: int = 7) -> pl.DataFrame:
    """Three examples of each kind; of intervals, one in each of three."""
    rows = [(kind, i) for kind in kinds for i in range(3)]
    ranged = [i if kind == "interval" else None for kind, i in rows]
    columns = {
        "atom": [atom] * len(rows),
        "kind": [kind for kind, _ in rows],
        "interval": ranged,
        "low": [None if i is None else i * 1.2345 for i in ranged],
        "high": [None if i is None else (i + 1) * 1.2345 for i in ranged],
        "rank": [1 if kind == "interval" else i + 1 for kind, i in rows],
        "activation": [1.0 + i for _, i in rows],
        **{name: [0] * len(rows) for name in ("text", "position", "token_id", "repeats", "at")},
        "source": ["s"] * len(rows),
        "token": [TOKENS[i] for _, i in rows],
        "tokens": [[TOKENS[i]] for _, i in rows],
        "token_ids": [[0]] * len(rows),
        "activations": [[1.0 + i] for _, i in rows],
    }
    return frames.build(frames.ATOM_EXAMPLES, columns)


def test_examples_have_a_row_a_list() -> None:
    spec = examples_chart(examples_frame("interval", "top", "random")).to_dict()
    [rows] = spec["datasets"].values()
    lists = ["top", "random", "interval 2: 2.47 to 3.7", "interval 1: 1.23 to 2.47", "interval 0: 0.0 to 1.23"]
    assert spec["encoding"]["y"]["sort"] == lists
    assert [row["list"] for row in rows if row["activation"] == 3.0] == lists[:3]
    assert {row["token"] for row in rows} == set(SHOWN[:3])
    with pytest.raises(FrameError, match="those of 2"):
        examples_chart(pl.concat([examples_frame("top"), examples_frame("top", atom=8)]))


# Agreement


def agreement_frame(layers: int = 2, **columns: Any) -> pl.DataFrame:
    """Position 1 is a near tie, position 2 of layer 0 disagrees, position 3 has no number."""
    rows = [(layer, p) for layer in range(layers) for p in range(len(TOKENS))]
    apart = [p == 1 or (p == 2 and layer == 0) for layer, p in rows]
    numbers = [None if p == 3 else 0.0 if p == 0 else 1e-7 * 100**p for _, p in rows]
    constant: dict[str, Any] = {
        "prompt_token_id": 7, "token_id": 20, "token": " a", "probability": 0.5, "margin": 0.2, "other_token": TOKENS[4],
        "other_probability": 0.4, "other_margin": 0.1, "total_variation_error": 0.0, "masked": False,
    }  # fmt: skip
    made = {
        "layer": [layer for layer, _ in rows],
        "position": [p for _, p in rows],
        "prompt_token": [TOKENS[p] for _, p in rows],
        "other_token_id": [21 if each else 20 for each in apart],
        "agrees": [not each for each in apart],
        "near_tie": [p == 1 for _, p in rows],
        **dict.fromkeys(SCALES, numbers),
        **{name: [value] * len(rows) for name, value in constant.items()},
        **columns,
    }
    return frames.build(frames.AGREEMENT, made)


@pytest.mark.parametrize("color", SCALES)
def test_an_agreement_is_drawn_on_a_log_scale_that_never_moves(color) -> None:
    for frame in (agreement_frame(), agreement_frame().with_columns(pl.col(*SCALES) * 1e-3)):
        spec = spec_of(agreement_chart(frame, color=color))
        shaded, _ = spec["layer"]
        scale = shaded["encoding"]["color"]["scale"]
        assert (scale["type"], scale["domain"], scale["clamp"]) == ("log", list(SCALES[color]), True)
        drawn = rows_of(spec, shaded)
        assert len(drawn) == 2 * len(TOKENS)
        low, high = SCALES[color]
        assert all(row["value"] is None or low <= row["value"] <= high for row in drawn), (
            "a log scale has no place for 0"
        )
        assert {row[color] for row in drawn} == set(frame[color]), "the tooltip has the number itself"
        assert spec["background"] == "transparent"
        fields = [each["field"] for each in shaded["encoding"]["tooltip"]]
        assert len(fields) == len(set(fields))
        assert set(fields) <= set(drawn[0])
        json.dumps(spec, allow_nan=False)


def test_disagreements_carry_a_sign() -> None:
    spec = spec_of(agreement_chart(agreement_frame()))
    _, signs = spec["layer"]
    assert signs["mark"]["type"] == "text"
    assert [(row["column"], row["layer"], row["sign"]) for row in rows_of(spec, signs)] == [
        ("1 ⏎", 0, "≈"), ("2 ⇥", 0, "≠"), ("1 ⏎", 1, "≈"),
    ]  # fmt: skip
    assert spec["title"]["subtitle"] == ["≠: other likeliest token; ≈: a near tie"]
    assert "subtitle" not in str(spec_of(agreement_chart(agreement_frame().with_columns(agrees=True)))["title"])


def test_an_agreement_without_a_number_or_with_a_wrong_colour_gets_a_sentence() -> None:
    with pytest.raises(FrameError, match="'hue' is no colour of the agreement; choose one of total_variation"):
        agreement_chart(agreement_frame(), color="hue")
    nothing = agreement_frame().with_columns(residual_difference=pl.lit(None, pl.Float64))
    with pytest.raises(FrameError, match="No cell of this frame has a relative residual difference"):
        agreement_chart(nothing, color="residual_difference")
