"""Runs in the kernel before a notebook of the documentation: what is shown is shown as HTML too, when its result is there."""

import altair
from IPython import get_ipython


def shown(widget, *_, **__):
    """What a notebook shows of a widget, and the same as a fragment."""
    from interp_widgets.export import fragment

    if hasattr(widget, "_job"):
        widget._job.wait()
    return {**widget._repr_mimebundle_()[0], "text/html": fragment(widget)}


def chart(spec, **_):
    """The same of a chart."""
    from interp_widgets.widgets.chart import ChartWidget

    return shown(ChartWidget(spec))


formatter = get_ipython().display_formatter.mimebundle_formatter
for module, name in [("panel", "Panel"), ("examples", "Examples")]:
    formatter.for_type_by_name(f"interp_widgets.panels.{module}", name, shown)
altair.renderers.register("docs", chart)
altair.renderers.enable("docs")
