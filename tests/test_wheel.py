"""The wheel holds everything and nothing else, and works from a fresh environment far from the repository."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

import interp_widgets as iw

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "interp_widgets"
LARGEST_MB = 40

pytestmark = pytest.mark.slow

SMOKE = """
import sys
from pathlib import Path
import interp_widgets as iw

assert "torch" not in sys.modules, "import interp_widgets loaded torch"
home = Path(iw.__file__).parent
assert home.is_relative_to(sys.prefix), f"{home} is not in the fresh environment"

model = iw.load("toy-grammar")
dictionary = iw.load_sae("toy-grammar/resid_post.0")
frame = iw.methods.logit_lens(model, "the keys to the cabinet")
assert frame.height > 0
assert dictionary.width == 384
assert iw.load("modadd-59").num_layers == 1

import interp_widgets.widgets
for kind in (iw.Lens, iw.Atoms, iw.Attention, iw.Patching):
    assert kind.__module__.startswith("interp_widgets.")
"""


def run(*command, cwd):
    clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run([*map(str, command)], cwd=cwd, env=clean, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


def test_it_holds_every_file_of_the_package_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name and ".data/" not in name}
    here = {
        path.relative_to(ROOT).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert inside == here
    kinds = {".py", ".js", ".css", ".json", ".jsonl", ".md", ".parquet", ".safetensors", ".txt", ".typed"}
    assert {Path(name).suffix for name in inside} <= kinds
    for needed in ("assets/toy-grammar/model.safetensors", "assets/modadd-59/model.safetensors", "front/tokens.js"):
        assert f"interp_widgets/{needed}" in inside
    assert wheel.stat().st_size < LARGEST_MB * 1_000_000


def test_it_brings_the_extension_of_jupyterlab_with_its_own_copy_of_the_modules(wheel):
    with zipfile.ZipFile(wheel) as archive:
        home = next(name for name in archive.namelist() if name.endswith("labextensions/interp_widgets/package.json"))
        home = home.removesuffix("package.json")
        assert home.endswith(".data/data/share/jupyter/labextensions/interp_widgets/")
        inside = {name.removeprefix(home): archive.read(name) for name in archive.namelist() if name.startswith(home)}
    here = {f"static/{path.name}": path.read_bytes() for path in (PACKAGE / "labextension" / "static").iterdir()}
    here |= {f"static/front/{path.name}": path.read_bytes() for path in (PACKAGE / "front").iterdir()}
    here["static/host.js"] = (PACKAGE / "export" / "host.js").read_bytes()
    here["package.json"] = (PACKAGE / "labextension" / "package.json").read_bytes()
    assert inside == here
    assert json.loads(inside["package.json"])["version"] == iw.__version__


def test_no_text_in_it_names_a_place_on_this_machine(wheel):
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            assert str(ROOT).encode() not in archive.read(name), name


def test_it_works_from_a_fresh_environment(wheel, tmp_path):
    home = tmp_path / "environment"
    venv.create(home, with_pip=False)
    python = home / ("Scripts" if os.name == "nt" else "bin") / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=tmp_path)
    # The dependencies are borrowed from here; a path line does not bring the editable install of this repository along.
    (site,) = home.glob("[Ll]ib/**/site-packages")
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (tmp_path / "smoke.py").write_text(SMOKE)
    run(python, "-W", "ignore", tmp_path / "smoke.py", cwd=tmp_path)
