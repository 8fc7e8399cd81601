"""SAE atoms as the browser sees them: the text as tokens, and the atoms active at the one selected."""

from __future__ import annotations

import traitlets as t

from . import front
from .base import Widget


class AtomsWidget(Widget):
    """Tokens and the atoms active at each. `T` tokens, `K` atoms listed a token, `N` pinned atoms."""

    _esm = front.module("atoms.js")

    text = t.Unicode("").tag(sync=True)
    """The text as typed."""

    answer = t.Unicode("").tag(sync=True)
    """The answer whose log-probability the effects are on; empty: what the model finds likeliest after the last token."""

    answered = t.Unicode("").tag(sync=True)
    """Exact text of the answer that `top_effect` is of; empty until that is computed."""

    tokens = t.List(t.Unicode()).tag(sync=True)
    """Exact text of every token."""

    token_ids = t.List(t.Int()).tag(sync=True)
    """Vocabulary id of every token."""

    masked = t.List(t.Int()).tag(sync=True)
    """Positions left out of scales and sums (attention sinks, `<s>`); marked in the strip."""

    sae_name = t.Unicode("").tag(sync=True)
    """Name of the dictionary, its site and width, for the head line."""

    top_k = t.Int(0).tag(sync=True)
    """`K`."""

    top_atom = t.Bytes(b"").tag(sync=True)
    """int32 [T, K]: atoms by activation, largest first, -1 where fewer are active."""

    top_activation = t.Bytes(b"").tag(sync=True)
    """float32 [T, K]: activation, in the units of the dictionary."""

    top_share = t.Bytes(b"").tag(sync=True)
    """float32 [T, K]: signed share of the squared norm, a_i d_i.x / |x|^2. Atoms, bias and error add to 1."""

    top_effect = t.Bytes(b"").tag(sync=True)
    """float32 [T, K]: first-order change of the answer's log-probability, nats, without the atom there; empty until known."""

    error_effect = t.Bytes(b"").tag(sync=True)
    """float32 [T]: the same for the error."""

    active = t.List(t.Int()).tag(sync=True)
    """Number of active atoms at each token (L0)."""

    norm = t.Bytes(b"").tag(sync=True)
    """float32 [T]: norm of the activation."""

    error_norm = t.Bytes(b"").tag(sync=True)
    """float32 [T]: |x - decode(encode(x))| / |x|."""

    error_share = t.Bytes(b"").tag(sync=True)
    """float32 [T]: share of the squared norm left in the error, e.x / |x|^2."""

    bias_share = t.Bytes(b"").tag(sync=True)
    """float32 [T]: share of the squared norm in the decoder's bias."""

    positions = t.List(t.Int()).tag(sync=True)
    """Selected token positions, ascending. Link this between panels."""

    atoms = t.List(t.Int()).tag(sync=True)
    """Pinned atoms, in the order they were pinned."""

    atom = t.Int(-1).tag(sync=True)
    """The atom that colours the text, or -1."""

    pinned = t.List(t.Int()).tag(sync=True)
    """Atoms whose activations over the text are in `pinned_activation`: the `N` pinned ones and `atom`."""

    pinned_activation = t.Bytes(b"").tag(sync=True)
    """float32 [N, T]."""

    pinned_scale = t.List(t.Float()).tag(sync=True)
    """Per entry of `pinned`: its largest activation over unmasked tokens of this text (0 if it never fires)."""

    complete = t.Bool(True).tag(sync=True)
    """Whether `top_atom` lists every active atom of every token, so that any listed atom's colours can be read off it."""

    found = t.Dict().tag(sync=True)
    """The last search: `how`, `about` (a sentence) and `rows`, each with `atom`, `value` and `detail`."""

    corpus_state = t.Dict().tag(sync=True)
    """What is read of the corpus: `name`, `tokens`, `total` (or None), `complete`, `running`, `more` (can be read on)."""

    cards = t.Dict().tag(sync=True)
    """Atom (as text) -> its card, for the chosen and the pinned atoms; see `panels/atoms_card.py`."""
