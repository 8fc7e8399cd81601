"""Lets a notebook show Altair charts without a network.

Altair's default renderer loads Vega from a CDN. The first time a panel hands out a chart in a kernel, and the user has chosen
no renderer of their own, charts are shown by `widgets.chart` from then on. `alt.renderers.enable(...)` changes it back.
"""

from __future__ import annotations

from typing import Any

import altair as alt

NAME = "interp_widgets"


def _render(spec: dict[str, Any], **_: Any) -> Any:
    from ..widgets.chart import ChartWidget

    return ChartWidget(spec)._repr_mimebundle_()


def offline(chart: alt.Chart) -> alt.Chart:
    """The same chart; from now on charts need no network."""
    if NAME not in alt.renderers.names():
        alt.renderers.register(NAME, _render)
        if alt.renderers.active == "default":
            alt.renderers.enable(NAME)
    return chart
