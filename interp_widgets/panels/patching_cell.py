"""What a patching panel says of one cell: its effect if it is moved or past frozen positions, and what its run says next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import Cancelled
from .jobs import Job
from .patching_traits import prediction_list

if TYPE_CHECKING:
    from ..methods.patching_run import PatchingRun
    from .patching import Patching

TOKENS = 8
"""How far each run goes on."""


def describe_place(cell: list[Any], origin: list[Any], frozen: list[int]) -> dict[str, Any]:
    """Which patch is meant: into `cell` from `origin`, both [kind, layer, position of the patched prompt], past `frozen`."""
    return {"cell": list(cell), "origin": list(origin) or list(cell), "frozen": sorted(frozen)}


def describe_cell(panel: Patching, run: PatchingRun, place: dict[str, Any], job: Job, known: dict[str, Any]) -> None:
    """Fill the trait `patch`: numbers first, then the three continuations. `known` keeps those of the unpatched runs."""
    try:
        _describe(panel, run, place, job, known)
    except Cancelled:
        raise
    except Exception:  # the sentence is told by the job; nothing may look as if it were still to come
        panel._publish(job, lambda: setattr(panel, "patch", {"place": place, "failed": True}))
        raise


def _describe(panel: Patching, run: PatchingRun, place: dict[str, Any], job: Job, known: dict[str, Any]) -> None:
    from ..methods.patching_plan import Begun
    from ..methods.single_patch import fill_single, plan_single, say_next
    from ..session.stays import Stays

    model = panel.session
    job(0, 3, "patching one cell")
    (kind, layer, position), (from_kind, from_layer, from_position) = place["cell"], place["origin"]
    partner = run.partner
    if position not in partner or from_position not in partner:
        panel._publish(job, lambda: setattr(panel, "patch", {}))
        return
    source = f"{from_kind}.{from_layer}", partner[from_position]
    clean, corrupt = (run.source, run.prompt) if run.direction == "denoise" else (run.prompt, run.source)
    ids = {"clean": clean["token_id"].to_list(), "corrupt": corrupt["token_id"].to_list()}
    plan, held = plan_single(
        model, ids["clean"], ids["corrupt"], source, (f"{kind}.{layer}", position), place["frozen"], run.answer, run.foil,
        run.direction,
    )  # fmt: skip
    baselines = Begun(run.answer, run.foil, run.source_prediction, run.prompt_prediction, Stays())
    one = plan.open(baselines, (run.source, run.prompt), model.dtype)
    found: dict[str, Any] = {"place": place, "said": {}}
    if place["frozen"] or place["origin"] != place["cell"]:
        one.work(model, fill_single, held)
        recovery = float(one.recovery("logit_difference")[0, 0])
        found["effect"] = {
            "logit_difference": float(one.effect("logit_difference")[0, 0]),
            "probability": float(one.effect("probability")[0, 0]),
            "recovery": None if recovery != recovery else recovery,
        }
        found["top"] = prediction_list(one.cells[0, 0], model)
    panel._publish(job, lambda: setattr(panel, "patch", {**found, "pending": True}))
    wanted = [name for name in ("patched", "clean", "corrupt") if name not in known]
    texts = {**known, **say_next(model, one, held, TOKENS, wanted, progress=job)}
    known |= {name: texts[name] for name in ("clean", "corrupt")}
    found["said"] = {
        name: [{"token_id": i, "token": model.text_of(i), "probability": p} for i, p in steps]
        for name, steps in texts.items()
    }
    panel._publish(job, lambda: setattr(panel, "patch", found))
