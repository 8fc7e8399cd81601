"""Who may import whom, and that these tests can fail."""

from pathlib import Path

import pytest

from tests import layers

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("layer", layers.LAYERS)
def test_no_import_crosses_the_layers(layer):
    assert layers.modules(ROOT, layer), f"layer {layer} has no files"
    assert layers.written(ROOT, layer) == []


@pytest.mark.parametrize("layer", [name for name, rule in layers.LAYERS.items() if rule.forbidden])
def test_a_layer_imports_where_its_forbidden_packages_do_not_exist(layer):
    if layer == "sphinx":  # for authors of sites, who have it; in continuous integration `make docs` brings it
        pytest.importorskip("sphinx")
    assert layers.run(ROOT, layer) == ""


def test_every_part_of_the_package_is_a_layer():
    parts = {file.relative_to(ROOT / layers.PACKAGE).parts[0] for file in (ROOT / layers.PACKAGE).rglob("*.py")}
    assert {part.removesuffix(".py") for part in parts} - {"__init__"} <= {*layers.LAYERS, "front"}


def test_importing_the_package_is_light():
    heavy = sorted(layers.TORCH | layers.BROWSER | layers.ALTAIR)
    assert (
        layers.fresh(f"import sys, interp_widgets; assert not (loaded := set({heavy}) & set(sys.modules)), loaded")
        == ""
    )


def test_panels_need_no_torch_until_they_compute():
    names = sorted(layers.modules(ROOT, "panels"))
    script = "import sys, importlib\n" + "".join(f"sys.modules[{name!r}] = None\n" for name in sorted(layers.TORCH))
    assert layers.fresh(f"{script}for name in {names}: importlib.import_module(name)\n") == ""


# That each check can fail: the same checks on a small package with one breach in it.


@pytest.fixture
def house(tmp_path):
    """An empty package of every layer; `house(layer, source)` writes one file into it and returns its root."""

    def write(layer, source):
        for name in (".", *layers.LAYERS):
            (tmp_path / layers.PACKAGE / name).mkdir(parents=True, exist_ok=True)
            (tmp_path / layers.PACKAGE / name / "__init__.py").touch()
        (tmp_path / layers.PACKAGE / layer / "part.py").write_text(source)
        return tmp_path

    return write


@pytest.mark.parametrize(
    ("layer", "package"),
    [(name, package) for name, rule in layers.LAYERS.items() for package in sorted(rule.forbidden)],
)
def test_a_forbidden_package_is_found_in_the_source(house, layer, package):
    root = house(layer, f"def late():\n    from {package}.sub import thing\n")
    assert layers.written(root, layer) == [f"{layer}/part.py imports {package}"]


@pytest.mark.parametrize("layer", [name for name, rule in layers.LAYERS.items() if rule.forbidden])
def test_a_forbidden_package_is_found_two_steps_away(house, layer):
    package = min(layers.LAYERS[layer].forbidden)
    root = house("export", f"import {package}\n")
    house(layer, "import interp_widgets.export.part\n")
    assert f"No module named '{package}'" in layers.run(root, layer)


@pytest.mark.parametrize(
    ("layer", "line", "target"),
    [
        ("errors", "from .. import frames", "frames"),
        ("session", "from ..methods import x", "methods.x"),
        ("session", "from ..lab.modadd import load", "lab.modadd.load"),
        ("methods", "from ..views.heat import draw", "views.heat.draw"),
        ("views", "from interp_widgets import session", "session"),
        ("widgets", "import interp_widgets.panels.lens", "panels.lens"),
        ("panels", "def late():\n    from ..export import page", "export.page"),
    ],
)
def test_an_import_against_the_order_is_found(house, layer, line, target):
    assert layers.written(house(layer, line), layer) == [f"{layer}/part.py imports interp_widgets.{target}"]


@pytest.mark.parametrize("layer", ["methods", "panels", "export"])
def test_nnsight_outside_the_session_is_found(house, layer):
    assert layers.written(house(layer, "import nnsight"), layer) == [f"{layer}/part.py imports nnsight"]


def test_imports_for_the_type_checker_do_not_count(house):
    source = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch\n"
    root = house("views", source)
    assert layers.written(root, "views") == []
    assert layers.run(root, "views") == ""
