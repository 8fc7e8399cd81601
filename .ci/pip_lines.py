"""What pip does, in a few lines: reads its output, prints what is large and what takes long. Used by the Makefile.

pip install ... | python .ci/pip_lines.py
"""

import re
import sys

LARGE = 20.0
"""MB from which on a download is named."""

SIZE = re.compile(r"(?:Downloading|Using cached) (?P<file>\S+)(?P<rest>.*?\((?P<size>[\d.]+) (?P<unit>kB|MB|GB)\))?")
TO_MB = {"kB": 0.001, "MB": 1.0, "GB": 1000.0}


def main() -> None:
    total, count = 0.0, 0
    for line in sys.stdin:
        if (found := SIZE.search(line)) and found["size"] and ".metadata" not in found["file"]:
            size = float(found["size"]) * TO_MB[found["unit"]]
            total, count = total + size, count + 1
            if size >= LARGE:
                name = found["file"].rsplit("/", 1)[-1].split("-")[0]
                print(f"setup:   {name}, {size:.0f} MB", flush=True)
        elif line.startswith("Installing collected packages:"):
            packages = line.count(",") + 1
            print(f"setup: {total:.0f} MB are here; unpacking {packages} packages (half a minute).", flush=True)
        elif line.startswith(("ERROR", "error:")):
            print(line, end="", flush=True)


if __name__ == "__main__":
    main()
