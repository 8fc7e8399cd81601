"""Charts without a network: every chart of a kernel shares one copy of Vega.

JupyterLab 4.6 knows Vega-Lite up to version 5, Altair 6 writes version 6, and Altair's own widget carries 0.9 MB a chart. So
the library is one hidden model per kernel, and a chart refers to it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import anywidget
import traitlets as t

from . import front

VEGA_LITE = "6.4"
"""The version that Altair 6 writes."""


class ChartLibrary(anywidget.AnyWidget):
    """Vega, Vega-Lite and vega-embed as one ES module. Made by `library()`, once per kernel."""

    _esm = "export default { render() {} };\n"

    source = t.Unicode("").tag(sync=True)
    """The module's text, 0.9 MB."""


class ChartWidget(anywidget.AnyWidget):
    """One chart. `ChartWidget(chart)` shows any Altair chart, offline."""

    _esm = front.module("chart.js")
    _css = front.stylesheet()

    spec = t.Dict().tag(sync=True)
    """The Vega-Lite specification."""

    library = anywidget.WidgetTrait().tag(sync=True)
    """The shared `ChartLibrary`."""

    def __init__(self, chart: Any) -> None:
        """`chart`: an Altair chart, or a Vega-Lite specification as a dict."""
        super().__init__(spec=chart if isinstance(chart, dict) else chart.to_dict(), library=library())


@cache
def library() -> ChartLibrary:
    """The library of this kernel; the first call takes a second or two."""
    import vl_convert

    return ChartLibrary(source=vl_convert.javascript_bundle("export { vegaEmbed };", vl_version=VEGA_LITE))
