"""A feature circuit as the browser sees it: a graph of nodes and edges over tokens and sites, and what it carries.

Nodes, edges and the curve are sorted, so that a threshold is a prefix: the browser redraws without asking. Whatever is kept of a
node over another run (labels, pins, switches ...) is kept by its name, as in `frames.circuits`.

Messages that the view sends besides `run` (with `clean`, `corrupt`, `answer`, `foil`) and `cancel`:

- `method` with `method`: compute the effects in another of `methods`.
- `edges` with `nodes`: compute the edges among the first so many nodes (an index bound, answers included).
- `compare` with `name`: add the curve of circuits of `neurons` or `coordinates` to `baselines`.
- `group` with `name` and `nodes` (names): make a group of these nodes, each taken out of the group it was in; a group left empty
  is gone. To rename a group, send its nodes under the new name. Answers and nodes without a name are refused.
- `ungroup` with `name`.
- `stop`, `measure`: stop computing `mean_change`, and compute it after all.
- `pause`, `read_on`: stop and go on reading the corpus, where `corpus_state` says there is one.

`groups` and the four traits after it are set together by Python, in answer to the last three. `selected`, `switches`, `way`,
`size` and the like are traits that the browser sets; Python observes those that it has to answer (`selected`: `cards`;
`switches` and `prompt`: `prediction`, `mean_change`).
"""

from __future__ import annotations

import traitlets as t

from . import front
from .base import Widget

METHODS = ("attribution", "integrated_gradients", "exact")
KINDS = ("atom", "error", "embedding", "logit", "other")
WAYS = ("nodes", "kept", "removed")
CURVE = (
    "threshold",
    "faithfulness",
    "faithfulness_low",
    "faithfulness_high",
    "completeness",
    "completeness_low",
    "completeness_high",
)


class CircuitWidget(Widget):
    """A graph of nodes and edges. `N` nodes, `E` edges, `R` rows, `C` columns, `W` ways to treat errors, `K` circuits on the curve,
    `G` groups, `F` edges of groups."""

    _esm = front.module("circuit.js")

    # what is asked

    clean = t.Unicode("").tag(sync=True)
    """The clean prompts as typed, one a line."""

    corrupt = t.Unicode("").tag(sync=True)
    """The corrupt prompts as typed, one a line; empty for none."""

    answer = t.Unicode("").tag(sync=True)
    """The answer as typed; several tokens with a space and a bar between (` is | was`)."""

    foil = t.Unicode("").tag(sync=True)
    """The foil as typed, in the same way; empty for none."""

    has_model = t.Bool(True).tag(sync=True)
    """Whether a model is beside the graph. Without one nothing is run, measured or switched; the rest works."""

    methods = t.List(t.Unicode()).tag(sync=True)
    """Those of `METHODS` that can be chosen; fewer than two: no choice is shown."""

    method = t.Unicode("").tag(sync=True)
    """How the effects that are shown were computed, one of `METHODS`; empty for a graph that does not say."""

    dictionaries = t.Unicode("").tag(sync=True)
    """What the nodes are of, for the head line, e.g. `13 dictionaries`."""

    metric = t.Unicode("").tag(sync=True)
    """What is measured, in words, e.g. `logit( is) − logit( are)`."""

    measure = t.Unicode("effect").tag(sync=True)
    """What the number of a node is called: `effect`, or `influence` for graphs of others (a node's share, without a sign)."""

    ends = t.Dict().tag(sync=True)
    """`model` and `nothing`: the metric of the whole model, and with every node ablated; empty where not measured."""

    prompts = t.Int(0).tag(sync=True)
    """How many prompts the numbers are means over; 0 where unknown."""

    # the page on which the graph is drawn

    tokens = t.List(t.Unicode()).tag(sync=True)
    """[C] exact text of each column's token in the first clean prompt. One empty text where positions are summed."""

    token_ids = t.List(t.Int()).tag(sync=True)
    """[C] their vocabulary ids, or empty."""

    corrupt_tokens = t.List(t.Unicode()).tag(sync=True)
    """[C] the same of the first corrupt prompt; empty without one."""

    variants = t.Dict().tag(sync=True)
    """Column (as text) -> some different tokens that clean prompts have there; only columns in which they differ."""

    summed = t.Bool(False).tag(sync=True)
    """Whether positions are summed: there is one column then, and no tokens are shown."""

    rows = t.List(t.Dict()).tag(sync=True)
    """[R] rows in the order of the forward pass, drawn from the bottom to the top: `site` (`resid_post.2`), `text` to show
    (`resid 2`), `layer` (int or None). The last row is that of the answers, `site` `answer`."""

    strip = t.Bytes(b"").tag(sync=True)
    """float32 [R - 1, C]: sum of |effect| over all nodes at a row and a column, also those that are not sent; NaN where a row has
    no nodes. The row of the answers is left out."""

    # nodes: the answers first, then the largest |effect| first

    names = t.List(t.Unicode()).tag(sync=True)
    """[N] names, each different: `resid_post.2/122@5`; `answer` for what is measured; a graph of others has its own."""

    kind = t.Bytes(b"").tag(sync=True)
    """uint8 [N]: index into `KINDS`, as in `graphs.Graph`. Answers are the nodes of kind `logit`."""

    row = t.Bytes(b"").tag(sync=True)
    """int32 [N]: index into `rows`."""

    column = t.Bytes(b"").tag(sync=True)
    """int32 [N]: index into `tokens`; of an answer, that of the token it is predicted after."""

    atom = t.Bytes(b"").tag(sync=True)
    """int32 [N]: index in the dictionary of its site; -1 for what is no atom."""

    effect = t.Bytes(b"").tag(sync=True)
    """float32 [N]: signed effect on the metric; of an answer NaN, or its probability in graphs of others."""

    low = t.Bytes(b"").tag(sync=True)
    """float32 [N]: lower end of the 95 % interval of `effect`; NaN or the whole trait empty where there is none."""

    high = t.Bytes(b"").tag(sync=True)
    """float32 [N]: upper end of it."""

    activation = t.Bytes(b"").tag(sync=True)
    """float32 [N]: in the clean prompts, mean; NaN where unknown."""

    corrupt_activation = t.Bytes(b"").tag(sync=True)
    """float32 [N]: in the corrupt prompts, mean; NaN where unknown, the whole trait empty without corrupt prompts."""

    total = t.Int(0).tag(sync=True)
    """How many nodes there are besides the answers, also those that are not sent (at most some 2,000 are)."""

    # edges: the largest |weight| first

    source = t.Bytes(b"").tag(sync=True)
    """int32 [E]: index of the upstream node."""

    target = t.Bytes(b"").tag(sync=True)
    """int32 [E]: index of the downstream node."""

    weight = t.Bytes(b"").tag(sync=True)
    """float32 [E]: signed effect of the source on the metric through the target, by the direct path alone."""

    weight_low = t.Bytes(b"").tag(sync=True)
    """float32 [E]: lower end of its 95 % interval; NaN or the whole trait empty where there is none."""

    weight_high = t.Bytes(b"").tag(sync=True)
    """float32 [E]: upper end of it."""

    total_edges = t.Int(0).tag(sync=True)
    """How many edges were computed, also those that are not sent (at most some 10,000 are)."""

    edged = t.Int(0).tag(sync=True)
    """Edges are known among the first so many nodes (answers included); 0: none were computed yet."""

    # the curve: what circuits of growing size carry

    ways = t.List(t.Unicode()).tag(sync=True)
    """[W] those of `WAYS` that the curve has. nodes: an error is a node like any; kept: all errors are kept, and only other
    nodes are counted; removed: no error is in the circuit."""

    way = t.Unicode("nodes").tag(sync=True)
    """The way that is shown. For `removed`, error nodes are not drawn."""

    curve_nodes = t.Bytes(b"").tag(sync=True)
    """int32 [W, K]: number of nodes of each circuit, ascending; -1 where a way has fewer circuits."""

    curve_prefix = t.Bytes(b"").tag(sync=True)
    """int32 [W, K]: the first so many of the `N` nodes (answers included) are those of the circuit, as far as they were sent,
    and as far as their kind counts in this way."""

    curve = t.Bytes(b"").tag(sync=True)
    """float32 [len(CURVE), W, K]: `CURVE` in their order, NaN where undefined, not measured, or not measured yet."""

    baselines = t.List(t.Dict()).tag(sync=True)
    """Curves to compare with: `name` (`MLP neurons`), `nodes` [n] ascending, `faithfulness`, `low`, `high` [n], None where
    undefined; without `low` and `high` no band."""

    size = t.Int(-1).tag(sync=True)
    """Number of nodes in the circuit shown, without answers; -1 for all that were sent. With a curve it is that of the largest
    circuit of `curve_nodes` that is no larger."""

    edge_threshold = t.Float(0.0).tag(sync=True)
    """Edges with a smaller |weight| are not drawn."""

    # what a person does to the graph

    labels = t.Dict().tag(sync=True)
    """Name of a node -> its label."""

    pinned = t.List(t.Unicode()).tag(sync=True)
    """Names of pinned nodes: shown whatever the threshold, always with their label."""

    hidden = t.List(t.Unicode()).tag(sync=True)
    """Names of nodes hidden by hand."""

    groups = t.List(t.Dict()).tag(sync=True)
    """[G] supernodes: `name`, `nodes` (names), `row`, `column` (of the member with the largest |effect|), `effect` (the sum),
    `low` and `high` (of the sum, or None). Set by Python alone, with the three traits below."""

    group_source = t.Bytes(b"").tag(sync=True)
    """int32 [F]: upstream end of an edge that has a group at one end or both; N + g for group g, else the index of a node."""

    group_target = t.Bytes(b"").tag(sync=True)
    """int32 [F]: downstream end, in the same way."""

    group_weight = t.Bytes(b"").tag(sync=True)
    """float32 [F]: sum of the weights of all edges between their members; within a group there is none. Largest |weight| first."""

    switches = t.Dict().tag(sync=True)
    """Name of a node -> its scale while predicting: 0 off, 1 as it is (not listed); see `methods.circuit_prediction`."""

    prompt_texts = t.Dict().tag(sync=True)
    """Name of a prompt (`clean 0`, `corrupt 3`) -> its text, a long one in short: all clean ones, then all corrupt ones."""

    prompt = t.Unicode("clean 0").tag(sync=True)
    """Name of the prompt that `prediction` is after."""

    prediction = t.Dict().tag(sync=True)
    """What the model predicts with the switches after one prompt; empty before the first: `of` and `prompt` (the switches and the
    prompt it is of), `pending` (True while another one is computed), `failed` (a sentence, or empty), `metric` as {`before`,
    `after`, `change`}, and `top`, a list of {`token`, `token_id`, `before`, `after`}: probabilities of the next token, the answers
    first, then the likeliest of both."""

    mean_change = t.Dict().tag(sync=True)
    """The metric over all clean prompts with the switches; empty where nothing is switched, or there is one prompt: `of` (the
    switches), `total` (clean prompts), `prompts` (how many of them it is the mean of; 0: none yet, and no numbers), `pending` (True
    while the others are computed), `failed` (a sentence, or empty), `before`, `after`, `change`, and `low` and `high`, the 95 %
    bootstrap interval of the mean change, or None."""

    selected = t.List(t.Unicode()).tag(sync=True)
    """Names of the selected nodes, the one that was selected last at the end: its card is shown."""

    cards = t.Dict().tag(sync=True)
    """Name of a node -> its card, for the last selected node and the pinned ones that are atoms: as in the Atoms panel
    (`panels/atoms_card.py`). Without the key `removed` that part is left out. A node that has no card has no entry."""

    corpus_state = t.Dict().tag(sync=True)
    """What is read of the corpus of the shown card's dictionary; see `AtomsWidget.corpus_state`."""

    listed = t.Bool(False).tag(sync=True)
    """Whether the shown nodes are a table rather than a picture."""

    positions = t.List(t.Int()).tag(sync=True)
    """Selected positions (columns), ascending. Link this between panels."""
