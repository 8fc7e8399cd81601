"""Runs in the kernel before a notebook of the documentation: a chart is shown as HTML too, as panels are by themselves."""

import altair


def chart(spec, **_):
    """What a notebook shows of a chart, and the same as a fragment."""
    from interp_widgets.export import fragment
    from interp_widgets.widgets.chart import ChartWidget

    widget = ChartWidget(spec)
    return {**widget._repr_mimebundle_()[0], "text/html": fragment(widget)}


altair.renderers.register("docs", chart)
altair.renderers.enable("docs")
