"""Prints the lines that open this repository on Binder, from the address of its git remote: `make badge`.

The package does not know where it will be published, so no address is written down anywhere.
"""

from __future__ import annotations

import re
import subprocess
import sys

HOSTS = {"github.com": "gh", "gitlab.com": "gl"}
"""What mybinder.org calls the sites that it builds from by owner and name."""

START = "notebooks/start.ipynb"
RECORDED = "notebooks/recorded.ipynb"
"""Needs no torch, so it fits where memory is scarce."""


def address(remote: str, notebook: str, ref: str = "HEAD") -> str:
    """The address on mybinder.org for a remote such as `git@site:owner/name.git` or `https://site/owner/name`.

    Raises ValueError for one that mybinder.org does not build by owner and name.
    """
    found = re.fullmatch(
        r"(?:\w+://)?(?:[^@/]+@)?(?P<site>[\w.-]+)(?::\d+)?[:/](?P<path>[\w./-]+?)(?:\.git)?/?", remote.strip()
    )
    if not found or found["site"] not in HOSTS or "/" not in found["path"]:
        raise ValueError(
            f"The remote {remote.strip()!r} is none that this can make an address of: it knows {', '.join(HOSTS)}. "
            "mybinder.org also builds any public git address; its front page makes the link."
        )
    path = found["path"] if HOSTS[found["site"]] == "gh" else found["path"].replace("/", "%2F")
    return f"https://mybinder.org/v2/{HOSTS[found['site']]}/{path}/{ref}?urlpath=lab/tree/{notebook}"


def main() -> int:
    done = subprocess.run(["git", "remote", "get-url", "origin"], capture_output=True, text=True)
    if done.returncode:
        print(
            "This checkout has no remote named origin; publish it first, or give it one: git remote add origin ADDRESS."
        )
        return 1
    try:
        for name, notebook in (("start", START), ("recorded", RECORDED)):
            print(f"{name}: [![Open on Binder](docs/images/binder.svg)]({address(done.stdout, notebook)})")
    except ValueError as error:
        print(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
