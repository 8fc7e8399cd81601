"""Features make smaller circuits than coordinates and neurons do: the main claim of Marks et al., on toy-grammar."""

from __future__ import annotations

import pytest

from interp_widgets.lab.toy_grammar.pairs import agreement_pairs
from interp_widgets.sae.load import bundled
from tests.benchmarks.circuits_claim import LEVEL, curve, sites_beside

SAES = [name for name in bundled() if name.startswith("toy-grammar/")]


@pytest.mark.parametrize("kind", ["rc_obj", "pp"])
def test_a_quarter_as_many_features_do_what_coordinates_or_neurons_do(toy, kind) -> None:
    """Nodes are ranked on pairs that the model was trained on and kept alone on held-out ones."""
    ranked_on, tested_on = agreement_pairs(64, kind, held_out=False), agreement_pairs(64, kind, seed=1)
    saes = {name.partition("/")[2]: name for name in SAES}
    features = curve(toy, ranked_on, tested_on, saes, [150], order="turns")
    assert features["low"][1] > LEVEL
    for neurons in (False, True):
        others = curve(toy, ranked_on, tested_on, sites_beside(saes, neurons), [150, 600], order="turns")
        assert others["high"][1] < 0.2
        assert others["high"][2] < LEVEL
