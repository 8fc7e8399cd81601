"""Every module of ours that a host loads, and widgets with a made-up state for each."""

from __future__ import annotations

from collections.abc import Callable

import anywidget

from interp_widgets.widgets.chart import ChartLibrary, ChartWidget
from tests.front import circuits, states

PANELS: dict[str, Callable[[], anywidget.AnyWidget]] = {
    "agreement": states.agreement,
    "atoms": states.atoms,
    "attention": states.attention,
    "audit": states.audit,
    "circuit": circuits.circuit,
    "shift": states.shift,
    "examples": states.examples,
    "explorer": states.explorer,
    "lens": states.lens,
    "pairs": states.pairs,
    "patching": states.patching,
    "steering": states.steering,
}

MODULES: dict[str, str] = {name: make()._esm for name, make in PANELS.items()} | {
    "chart": ChartWidget._esm,
    "library": ChartLibrary._esm,
}
