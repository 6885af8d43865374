"""What the frame of a page says of any study: notices, and the facts that its numbers rest on; plain text."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

from losslab.analysis.clocks import times_compare
from losslab.analysis.runs import NOT_BEGUN, FailedRun, failed_runs
from losslab.data import CATALOG
from losslab.optimizers import OPTIMIZERS
from losslab.study.results import CountResult, RunResult, StudyResults
from losslab.text import count, duration, names, number, size

TITLES = {name: method.title for name, method in OPTIMIZERS.items()}
"""Name of an optimizer -> what a reader knows it by."""
SHOWN = 12
"""How many of the failed runs a page lists."""


@dataclass(frozen=True)
class Failures:
    """The planned runs that have no result: not begun, stopped, failed or diverged.

    Attributes:
        amount: how many, in words.
        verb: "has" or "have".
        waiting: a line for each stage of which runs have not begun.
        shown: (identity, what is known of it) of the first others.
        more: how many others there are.
    """

    amount: str
    verb: str
    waiting: tuple[str, ...]
    shown: tuple[tuple[str, str], ...]
    more: int


@dataclass(frozen=True)
class Overview:
    """A study at a glance.

    Attributes:
        title: of the study.
        samples: the embedded samples that its runs trained on; empty where there are none.
        failures: None where every run ended well.
        damaged: (file, what is wrong with it): changed since they were packed, or not to be read.
        ended: whether the study came to its end.
        trains: whether it trains anything; else it counts.
        facts: (term, what it is): scale, machine, versions, times.
        command: that repeats it.
        basis: scale, time and machine in a line.
    """

    title: str
    samples: str
    failures: Failures | None
    damaged: tuple[tuple[str, str], ...]
    ended: bool
    trains: bool
    facts: tuple[tuple[str, str], ...]
    command: str
    basis: str


def overview_of(results: StudyResults) -> Overview:
    """Summarise a study from its plan and the environments of its runs; what is not known is `unknown`."""
    plan = results.plan
    return Overview(
        title=(plan.get("study") or {}).get("title") or "Study",
        samples=_samples(results),
        failures=_failures(failed_runs(results)),
        damaged=tuple(results.damaged.items()),
        ended=bool(plan.get("ended")),
        trains=bool(_trained(plan)),
        facts=tuple(_facts(results)),
        command=plan.get("command") or "unknown",
        basis=_basis(results),
    )


def _samples(results: StudyResults) -> str:
    return names(
        [name for name in _data_sets(results) if name in CATALOG and CATALOG[name].sample]
    )


def _data_sets(results: StudyResults) -> list[str]:
    contents: dict[str, set[str]] = {}
    for result in chain.from_iterable(results.stages.values()):
        held = result.environment.get("data_sha256")
        contents.setdefault(result.run.data.name, set()).update([held] if held else [])
    # Runs that were trained before a user's data changed are kept, and are not to be compared with later ones.
    return [
        f"{name} (which changed: {len(held)} versions of it were trained on)"
        if len(held) > 1
        else name
        for name, held in contents.items()
    ]


def _failures(failed: list[FailedRun]) -> Failures | None:
    if not failed:
        return None
    waiting = Counter(run.stage for run in failed if run.status == NOT_BEGUN)
    others = [run for run in failed if run.status != NOT_BEGUN]
    return Failures(
        amount=count(len(failed), "planned run"),
        verb="has" if len(failed) == 1 else "have",
        waiting=tuple(
            f"{stage}: {count(runs, 'run')} not begun" for stage, runs in waiting.items()
        ),
        shown=tuple((run.run_id, _what_failed(run)) for run in others[:SHOWN]),
        more=max(0, len(others) - SHOWN),
    )


def _what_failed(failed: FailedRun) -> str:
    which = failed.stage
    if failed.run:
        optimizer, lr = failed.run.optimizer.name, failed.run.lr
        rate = str(lr) if not isinstance(lr, int | float) else number(lr)
        which = f"{which}, {TITLES.get(optimizer, optimizer)}, lr {rate}"
    message = f": {failed.message}" if failed.message else ""
    return f"({which}): {failed.status.replace('_', ' ')}{message}"


def _trained(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """The stages that have runs."""
    return [stage for stage in plan["stages"] if stage.get("runs")]


def _facts(results: StudyResults) -> Iterator[tuple[str, str]]:
    plan = results.plan
    yield "Scale", _scale(plan)
    if changes := plan.get("changes"):
        yield "Changed", "; ".join(change["text"] for change in changes)
    if trained := _trained(plan):
        yield "Seeds", "; ".join(f"{stage['name']}: n = {_seeds(stage)}" for stage in trained)
        yield "Data", ", ".join(_data_sets(results)) or "unknown"
    yield "Machine", _machine(results)
    if not times_compare(chain.from_iterable(results.stages.values())):
        yield (
            "Times",
            "of different machines, or of several settings of threads: they do not compare with each other",
        )
    if plan.get("layouts"):
        yield "Layout", ", ".join(dict.fromkeys(plan["layouts"].values()))
    yield "Versions", _versions(results)
    yield "Time", _time(results)
    if results.memory_bytes:
        predicted = size(plan.get("predicted_memory_bytes"))
        yield (
            "Memory",
            f"{predicted} predicted, at most {size(results.memory_bytes)} measured, all workers together",
        )


def _scale(plan: dict[str, Any]) -> str:
    return (plan.get("scale") or {}).get("text") or "unknown"


def _seeds(stage: dict[str, Any]) -> Any:
    return (stage.get("planned") or {}).get("seeds") or "unknown"


def _machine(results: StudyResults) -> str:
    workers, threads = results.plan.get("workers"), results.plan.get("threads")
    processes = f"{_amount(workers, 'worker')} of {_amount(threads, 'thread')}"
    processor = environment(results, "processor")
    cores = environment(results, "cores").replace(", ", " or ")
    devices = _devices(results)
    trained_on = f"; trained on {', '.join(sorted(devices))}" if devices - {"cpu"} else ""
    noun = "core" if cores == "1" else "cores"
    return f"{processor}; {cores} {noun}, {processes}; {environment(results, 'platform')}{trained_on}"


def _devices(results: StudyResults) -> set[str]:
    """Where the runs were trained: the name of a GPU where there is one."""
    runs = list(chain.from_iterable(results.stages.values()))
    stated = [run.environment for run in runs]
    earlier = chain.from_iterable(each.get("earlier", ()) for each in stated)
    return {
        str(each.get("gpu") or each["device"])
        for each in [*stated, *earlier]
        if each.get("device") or each.get("gpu")
    }


def _amount(value: int | None, noun: str) -> str:
    return count(value, noun) if value else f"unknown {noun}s"


def _versions(results: StudyResults) -> str:
    version, source = environment(results, "losslab"), environment(results, "source_sha256")
    torch, python = environment(results, "torch"), environment(results, "python")
    return f"losslab {version} (source {source}), torch {torch}, Python {python}"


def _time(results: StudyResults) -> str:
    plan = results.plan
    budget = plan.get("budget_seconds")
    allowed = f", {duration(budget)} allowed" if budget else ""
    begun = (plan.get("started") or "unknown").replace("T", " ")
    return f"{_seconds(results)}{allowed}; begun {begun}"


def _seconds(results: StudyResults) -> str:
    """Predicted and measured; of a study that goes on, or was killed, what is known by now."""
    plan, least = results.plan, results.least_seconds
    predicted = duration(plan.get("predicted_seconds"))
    seconds = plan.get("measured_seconds") or 0.0
    # A session that was killed could not write what it took; the records of its runs tell the least.
    amount = duration(seconds) if seconds >= least else f"at least {duration(least)}"
    if plan.get("ended"):
        measured = f"{amount} measured"
    else:
        measured = f"{amount} measured so far" if seconds or least else "not measured yet"
    return f"{predicted} predicted, {measured}"


def _basis(results: StudyResults) -> str:
    plan = results.plan
    # Plans of earlier versions lack some of these keys; their reports are still written.
    scale = (plan.get("scale") or {}).get("text") or "unknown scale"
    end = "" if plan.get("ended") else ", not at its end"
    return f"{scale}. {_seconds(results)}{end}; {environment(results, 'processor')}."


def environment(results: StudyResults, key: str) -> str:
    """Read a key of the environments of runs and counts: usually one value, all of them where they differ."""
    # A study that was resumed elsewhere, or on a cluster, has runs of several machines: to name one would be wrong.
    runs = chain.from_iterable(results.stages.values())
    counts = chain.from_iterable(results.counts.values())
    measured = chain[RunResult | CountResult](runs, counts)
    environments = [result.environment for result in measured]
    # A run that went on elsewhere keeps what it was trained with before.
    earlier = chain.from_iterable(each.get("earlier", ()) for each in environments)
    values = {str(each.get(key, "unknown")) for each in environments}
    values |= {str(each[key]) for each in earlier if key in each}
    return ", ".join(sorted(values)) or "unknown"
