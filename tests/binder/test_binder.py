"""The files in binder/ say what they should; the whole rehearsal is `make binder`."""

from __future__ import annotations

import importlib.util
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.binder import plan
from tests.binder.memory import Watch, family, used

ROOT = Path(__file__).parents[2]
BINDER = ROOT / "binder"


@pytest.fixture(scope="module")
def badge():
    spec = importlib.util.spec_from_file_location("badge", BINDER / "badge.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["postBuild", "start"])
def test_a_script_can_be_run(name) -> None:
    assert (BINDER / name).stat().st_mode & stat.S_IXUSR
    subprocess.run(["bash", "-n", BINDER / name], check=True)


def test_start_hands_over_with_one_thread() -> None:
    done = subprocess.run([BINDER / "start", "sh", "-c", "echo $OMP_NUM_THREADS"], capture_output=True, text=True)
    assert done.stdout == "1\n"


def test_what_the_image_has_is_not_constrained(tmp_path) -> None:
    """The part of postBuild that chooses the versions, on a list with one package that is here and two that are not."""
    code = re.search(r"<<'PYTHON'\n(.*?)^PYTHON$", (BINDER / "postBuild").read_text(), re.M | re.S)[1]
    (tmp_path / "list.txt").write_text("# a comment\nPyTest==0.0.1\nnot-there==1.2\nNor_This==3\n")
    command = [sys.executable, "-c", code, str(tmp_path / "list.txt")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "# a comment\nnot-there==1.2\nNor_This==3\n"


def test_conda_brings_torch_and_a_python_that_the_package_takes() -> None:
    text = (BINDER / "environment.yml").read_text()
    assert "pytorch-cpu" in text
    wanted = re.search(r"python=(\d+)\.(\d+)", text)
    assert (int(wanted[1]), int(wanted[2])) >= (3, 11)


@pytest.mark.parametrize(
    ("remote", "path"),
    [
        ("git@github.com:someone/interp.git", "gh/someone/interp/HEAD"),
        ("https://github.com/someone/interp", "gh/someone/interp/HEAD"),
        ("ssh://git@github.com/some-one/in.terp.git\n", "gh/some-one/in.terp/HEAD"),
        ("https://gitlab.com/group/part/interp.git", "gl/group%2Fpart%2Finterp/HEAD"),
    ],
)
def test_the_address_follows_from_the_remote(badge, remote, path) -> None:
    assert (
        badge.address(remote, badge.START) == f"https://mybinder.org/v2/{path}?urlpath=lab/tree/notebooks/start.ipynb"
    )


@pytest.mark.parametrize(
    "remote", ["/home/someone/interp", "https://git.example.org/a/b.git", "https://github.com/alone"]
)
def test_an_address_that_is_not_known_is_not_made_up(badge, remote) -> None:
    with pytest.raises(ValueError, match="none that this can make an address of"):
        badge.address(remote, badge.START)


def test_the_notebook_that_opens_is_there(badge) -> None:
    assert (ROOT / badge.START).is_file()


PRINTED = """FROM base
USER root
COPY --chown=1000:1000 src/binder/environment.yml ${REPO_DIR}/binder/environment.yml
USER ${NB_USER}
RUN TIMEFORMAT='time: %3R' \\
bash -c 'time ${MAMBA_EXE} env update -p ${NB_PYTHON_PREFIX} --file "binder/environment.yml" && \\
true'
USER root
# Copy stuff.
COPY --chown=1000:1000 src/ ${REPO_DIR}/
USER ${NB_USER}
RUN ./binder/postBuild
ENV R2D_ENTRYPOINT="${REPO_DIR}/binder/start"
CMD ["jupyter", "notebook", "--ip", "0.0.0.0"]
"""


def test_a_plan_is_read_and_another_one_is_refused() -> None:
    plan.check(PRINTED)
    with pytest.raises(AssertionError, match="postBuild"):
        plan.check(PRINTED.replace("RUN ./binder/postBuild\n", ""))
    with pytest.raises(AssertionError, match="by \\$"):
        plan.check(PRINTED.replace("USER ${NB_USER}\nRUN ./b", "RUN ./b"))
    with pytest.raises(AssertionError, match="another file"):
        plan.check(PRINTED + "RUN pip install -r requirements.txt\n")


def test_memory_is_that_of_a_process_and_its_children() -> None:
    code = "import subprocess, sys, time; x = bytearray(60_000_000); subprocess.run([sys.executable, '-c', 'import time; y = bytearray(40_000_000); print(1, flush=True); time.sleep(20)'])"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.read(1) == b"1"
            with Watch(process.pid) as watch:
                for _ in range(50):
                    if watch.peak:
                        break
                    os.sched_yield()
                    watch._over.wait(0.1)
            assert 100e6 < used(process.pid) < 160e6
            assert watch.peak > 100e6
        finally:
            for each in family(process.pid):
                each.kill()
