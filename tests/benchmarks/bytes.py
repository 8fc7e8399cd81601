"""How many bytes a finished panel is on the wire, and how large its HTML file is.

Counted as the kernel's comm sends them: buffers raw, everything else as JSON in UTF-8, one message per panel. The empty
`layout` model that every Jupyter widget has (under 1 KB) is not counted. toy-grammar reads 64 tokens, so 64 stands there for 200.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.benchmarks import measure

DATA_GOAL = 300_000
"""Of Lens at 50 tokens x 30 layers."""
HTML_GOAL = 400_000


def main() -> None:
    import interp_widgets as iw

    measure.one_thread()
    rows, largest = [], []
    lens_bytes = 0
    html = 0
    for name, sae_name, words in (
        ("toy-grammar", "toy-grammar/resid_post.2", measure.GRAMMAR),
        ("smollm2-135m", "smollm2-135m/15-resid-4096", measure.ENGLISH),
    ):
        model, sae = iw.load(name), iw.load_sae(sae_name)
        for tokens in (14, 50, min(200, model.max_positions or 200)):
            panels = [
                _lens(model, tokens, words),
                _atoms(model, tokens, words, sae),
                _attention(model, tokens, words),
            ]
            if name == "toy-grammar" or tokens == 14:
                panels.append(_patching(model, tokens, words))
            for panel in filter(None, panels):
                panel.run()
                sizes = traits(panel)
                esm, css = sizes.pop("_esm"), sizes.pop("_css")
                data = sum(sizes.values())
                file = exported(panel)
                html = max(html, file)
                who = f"{type(panel).__name__}, {name}, {tokens} tokens"
                if who == "Lens, smollm2-135m, 50 tokens":
                    lens_bytes = data
                rows.append((who, *(measure.kb(x) for x in (esm, css, data, esm + css + data, file))))
                top = sorted(sizes.items(), key=lambda item: -item[1])[:5]
                largest.append((who, *(f"`{trait}` {measure.kb(size)}" for trait, size in top)))
    measure.report("Bytes of a panel", ["", "ESM", "CSS", "data", "all", "HTML file"], rows)
    measure.report("The five largest data traits", ["", "1", "2", "3", "4", "5"], largest)
    print(
        f"\nGoals: Lens at 50 tokens x 30 layers sends at most 300 KB of data: "
        f"{'met' if lens_bytes <= DATA_GOAL else 'NOT met'} ({measure.kb(lens_bytes)}). An HTML file has at most 400 KB: "
        f"{'met' if html <= HTML_GOAL else 'NOT met'} (largest here {measure.kb(html)}; 1 KB is 1000 bytes)."
    )
    print(f"\n{measure.machine()}")


def _lens(model, tokens, words):
    import interp_widgets as iw

    return iw.Lens(model, measure.text_of(model, tokens, words))


def _atoms(model, tokens, words, sae):
    import interp_widgets as iw

    return iw.Atoms(model, measure.text_of(model, tokens, words), sae=sae)


def _attention(model, tokens, words):
    import interp_widgets as iw

    return iw.Attention(model, measure.text_of(model, tokens, words))


def _patching(model, tokens, words):
    """The IOI pair at 14 tokens; else a text and the same text with another first word that differs."""
    import interp_widgets as iw

    if model.name != "toy-grammar":
        return iw.Patching(model, measure.IOI, measure.IOI_CORRUPT, " Mary", " John")
    clean = measure.text_of(model, tokens, words)
    corrupt = clean.replace("john gave", "mary gave")
    return iw.Patching(model, clean, corrupt, "mary", "john")


def traits(widget) -> dict[str, int]:
    """Bytes of every synced trait, as sent when the widget is first shown."""
    from jupyter_client.session import json_packer

    sizes = {}
    for name, value in widget.get_state().items():
        if isinstance(value, bytes | bytearray | memoryview):
            sizes[name] = len(bytes(value))
        else:
            sizes[name] = len(json_packer({name: value}))
    return sizes


def exported(panel) -> int:
    with tempfile.TemporaryDirectory() as folder:
        return Path(panel.to_html(Path(folder) / "panel.html")).stat().st_size


if __name__ == "__main__":
    main()
