"""Another Python that has nnsight and a model, and neither this package nor polars: what a server of models is to work.

Run as a script it reads from standard input the names of files of work, one a line, and writes beside each what came of it.
`Elsewhere` is the other end.
"""

import pickle
import subprocess
import sys
import traceback
from pathlib import Path

ABSENT = ("interp_widgets", "polars", "altair", "anywidget", "tests")


class Refuse:
    """Finds none of the modules that are not there."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}")


class Elsewhere:
    """A child process with a model. `send` stands in for `session.remote.session.send`."""

    def __init__(self, model: Path, folder: Path) -> None:
        self.folder, self.count = folder, 0
        self.sent: list[bytes] = []
        """Everything that was packed."""
        self.child = subprocess.Popen(
            [sys.executable, "-I", __file__, str(model)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def send(self, model, host, state, work, tensors, absent, tell):
        import torch

        from interp_widgets.session.remote.arrival import arrive
        from interp_widgets.session.remote.packing import pack

        tell(state)
        self.count += 1
        file = self.folder / f"{self.count}.work"
        how = pack(arrive, (), {}).work
        self.sent += [work, how]
        torch.save({"arrive": how, "work": work, "tensors": tensors, "absent": absent}, file)
        self.child.stdin.write(f"{file}\n")
        self.child.stdin.flush()
        said = self.child.stdout.readline().strip()
        assert said, "the other Python has ended"
        answer = torch.load(said, weights_only=True)
        file.unlink()
        Path(said).unlink()
        if "error" in answer:
            raise AssertionError(answer["error"])
        return answer

    def close(self) -> None:
        self.child.stdin.close()
        self.child.wait(30)
        self.child.stdout.close()


def main(folder: str) -> None:
    sys.meta_path.insert(0, Refuse())
    import nnsight
    import torch

    options = {"attn_implementation": "eager", "dtype": torch.float32}
    model = nnsight.TransformersModel(folder, task="text-generation", dispatch=True, **options)
    model._module.requires_grad_(False)
    for line in sys.stdin:
        file = Path(line.strip())
        try:
            found = torch.load(file, weights_only=False)
            arrive, _, _ = pickle.loads(found["arrive"])
            answer = arrive(model, found["work"], found["tensors"], found["absent"])
        except Exception:
            answer = {"error": traceback.format_exc()}
        torch.save(answer, file.with_suffix(".answer"))
        sys.stdout.write(f"{file.with_suffix('.answer')}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
