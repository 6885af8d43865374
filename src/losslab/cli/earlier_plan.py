"""The plan that a study's folder was begun with, which the same command goes on with."""

import shlex
from typing import Any

from losslab.errors import InvalidInput
from losslab.spec import Layout, Study
from losslab.study.engines import Engine
from losslab.study.facts import planned_before, study_of
from losslab.study.ladder import rungs
from losslab.study.plan import Plan
from losslab.study.store import StudyFolder
from losslab.text import count, duration


def earlier_plan(
    folder: StudyFolder,
    study: Study,
    budget_seconds: float | None,
    engine: Engine,
    workers: int | None,
) -> Plan | None:
    """Read the plan of a folder, when it is of the same study and budget; None where nothing has run there.

    Raises:
        InvalidInput: when the folder holds another study, or this one at another scale.
    """
    if not folder.has_plan:
        return None
    before = folder.plan
    name = (before.get("study") or {}).get("name")
    if name != study.name:
        raise InvalidInput(
            f"--out {folder.path}: holds the study '{name}'; choose another folder for '{study.name}'"
        )
    # The same command, given again, goes on: a new measurement could choose another scale, whose runs are all new.
    is_same = (
        study_of(before) in rungs(study) and before.get("budget_seconds") == budget_seconds
    )
    if is_same:
        return planned_before(folder, engine, workers)
    if any((folder.path / "runs").iterdir()):
        raise InvalidInput(
            f"--out {folder.path}: holds '{name}' {_difference(before, study)}; choose another folder, "
            f"or go on with it: losslab study resume {shlex.quote(str(folder.path))}"
        )
    return None


def check_same_bits(
    plan: Plan,
    folder: StudyFolder,
    engine: Engine,
    threads: int | None,
    layout: Layout | None,
    *,
    compile_step: bool,
) -> None:
    """Raise InvalidInput where an option that changes bits differs from the one that the study was begun with."""
    facts = folder.plan
    device = facts.get("device", "cpu")
    # One GPU does what another does.
    if device.partition(":")[0] != engine.device.partition(":")[0]:
        raise InvalidInput(
            f"--device (={engine.device}): the study was begun with --device {device}, which its bits depend on; give "
            "that, or choose another folder"
        )
    if facts.get("deterministic", False) and not engine.deterministic:
        raise InvalidInput(
            "--deterministic: the study was begun with it, and its bits depend on it; give it, or choose another folder"
        )
    if engine.deterministic and not facts.get("deterministic", False):
        raise _other_bits("--deterministic", "steps that need not repeat")
    layouts = sorted(set(plan.used_layouts.values()))
    if threads not in (None, plan.threads):
        raise _other_bits(f"--threads (={threads})", count(plan.threads, "thread"))
    if layout and layouts and layouts != [layout]:
        raise _other_bits(f"--layout (={layout})", " and ".join(layouts))
    if compile_step and not plan.compile_step:
        raise _other_bits("--compile-step", "steps that are not compiled")


def _other_bits(option: str, before: str) -> InvalidInput:
    return InvalidInput(
        f"{option}: the study was begun with {before}, which its bits depend on; leave it out, or choose another folder"
    )


def _difference(before: dict[str, Any], study: Study) -> str:
    """What the study that a folder holds has in the place of what is asked for now."""
    if study_of(before) not in rungs(study):
        return "with another rung, number of seeds or text"
    seconds = before.get("budget_seconds")
    return "at its full scale" if seconds is None else f"with a budget of {duration(seconds)}"
