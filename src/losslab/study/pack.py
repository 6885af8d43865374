"""Pack a study for keeping: its plan, the runs that ended, losses of long ones thinned, a manifest of its files."""

import json
from collections.abc import Iterable, Sequence
from hashlib import sha256
from itertools import chain
from math import ceil
from pathlib import Path
from statistics import fmean
from typing import Any

from losslab.errors import InvalidInput, StoreError
from losslab.files import read_json, write_json, write_text
from losslab.records import REPEATED, TIMES, Record, Steps, is_finite, to_row
from losslab.spec import RANGES
from losslab.study.facts import study_of
from losslab.study.store import ENDED, RunFolder, StudyFolder

WHOLE_STEPS = 5000
"""Runs of at most so many steps keep the loss of every step."""
THINNED_ENTRIES = 1000
"""About how many means replace the losses of a longer run."""
PLAN, MANIFEST = "study.json", "pack.json"


def pack(folder: StudyFolder, target: Path) -> dict[str, list[str]]:
    """Copy a study, finished or not, into a folder that is small enough for a repository.

    Runs that have not ended are left out: ``study run --out`` does them again. A packed study reads like any other.

    Args:
        folder: of the study.
        target: a folder that does not exist yet, or that holds an earlier pack of the same study.
    Returns:
        The runs that were left out, by stage.
    Raises:
        InvalidInput: when the target holds something else.
        StoreError: when the study is a pack that was damaged, or a file of it cannot be read.
    """
    plan = folder.plan
    # Of a pack: what is damaged would be vouched for anew.
    if faults := {path: fault for path, fault in damage(folder.path).items() if path != PLAN}:
        named = "; ".join(f"{path}: {fault}" for path, fault in faults.items())
        raise StoreError(f"{folder.path}: is not as it was packed ({named}); mend it first")
    _check_target(target, plan)
    packed = StudyFolder(target)
    packed.prepare()
    # First, so that a pack that is broken off can be begun again; it vouches for nothing yet.
    packed.write_plan(plan)
    write_json(target / MANIFEST, {"files": {}})
    left_out: dict[str, list[str]] = {}
    # Range tests are read step by step, so that their losses are not thinned.
    of_ranges = {
        run_id
        for stage in plan["stages"]
        if stage.get("finding") in RANGES
        for run_id in stage["runs"]
    }
    for stage in plan["stages"]:
        for run_id in stage["runs"]:
            run_folder = folder.run_folder(run_id)
            if run_folder.status["status"] in ENDED:
                _pack_run(run_folder, packed.run_folder(run_id), whole=run_id in of_ranges)
            else:
                left_out.setdefault(stage["name"], []).append(run_id)
        for count_id in stage.get("counts", ()):
            if folder.count_path(count_id).exists():
                _copy(folder.count_path(count_id), packed.count_path(count_id))
    # Last, since it vouches for files that must all be written by then.
    write_json(target / MANIFEST, {"files": _digests(target)})
    return left_out


def damage(folder: Path) -> dict[str, str]:
    """Compare a packed study with its manifest: path -> what is wrong; empty for a folder never packed.

    Files that were added since, as by a run that went on, are no fault.
    """
    if not (folder / MANIFEST).exists():
        return {}
    try:
        expected = {
            str(path): str(digest)
            for path, digest in read_json(folder / MANIFEST)["files"].items()
        }
    except (StoreError, KeyError, AttributeError) as error:
        return {MANIFEST: f"cannot be read ({error})"}
    found = _digests(folder)
    faults = dict.fromkeys(expected.keys() - found.keys(), "missing")
    faults |= {
        path: "changed"
        for path in expected.keys() & found.keys()
        if expected[path] != found[path]
    }
    return dict(sorted(faults.items()))


def vouch_for(folder: Path, path: Path) -> None:
    """Take a file of a packed study as it is now, after losslab wrote it anew; elsewhere do nothing."""
    try:
        files = read_json(folder / MANIFEST)["files"] if (folder / MANIFEST).exists() else {}
    except (StoreError, KeyError, TypeError):
        return  # a damaged manifest is for `damage` to tell
    name = path.relative_to(folder).as_posix()
    if name in files:
        digest = sha256(path.read_bytes()).hexdigest()
        write_json(folder / MANIFEST, {"files": files | {name: digest}})


def thinned(
    records: Iterable[Record], entries: int = THINNED_ENTRIES, whole: int = WHOLE_STEPS
) -> list[Record]:
    """Replace the steps of a long run by means over windows of steps.

    Evaluations stay as they are, and no window reaches over one. A loss that is not finite is kept by itself.

    Args:
        records: of one run, in order.
        entries: about how many means are kept.
        whole: a run of at most so many steps stays as it is.
    """
    records = list(records)
    total = sum(len(record.loss) for record in records if isinstance(record, Steps))
    if total <= whole:
        return records
    window = ceil(total / entries)
    result: list[Record] = []
    pending: list[Steps] = []
    for record in records:
        # One that has a count holds means already: packing a pack changes nothing.
        if isinstance(record, Steps) and record.count is None and is_finite(record):
            pending.append(record)
            continue
        if pending:
            result.append(_in_windows(pending, window))
            pending = []
        result.append(record)
    if pending:
        result.append(_in_windows(pending, window))
    return result


def _in_windows(records: list[Steps], window: int) -> Steps:
    """Join consecutive records to one with an entry for each window of steps."""
    sizes = list(chain.from_iterable(record.batch_size for record in records))
    rates = list(chain.from_iterable(record.lr for record in records))
    losses = list(chain.from_iterable(record.loss for record in records))
    correct = list(chain.from_iterable(record.correct for record in records))
    bounds = [
        (first, min(first + window, len(sizes))) for first in range(0, len(sizes), window)
    ]
    # Times add up along a run, so that those of the last record hold for all.
    last = records[-1]
    return Steps(
        first_step=records[0].first_step,
        lr=_means(rates, bounds),
        batch_size=[round(size) for size in _means(sizes, bounds)],
        loss=_means(losses, bounds),
        correct=_means(correct, bounds),
        train_seconds=last.train_seconds,
        train_processor_seconds=last.train_processor_seconds,
        gradient_norm=last.gradient_norm,
        count=[end - first for first, end in bounds],
    )


def _means(values: Sequence[float], bounds: list[tuple[int, int]]) -> list[float]:
    """The mean of each window, with the digits that a picture can use."""
    if not values:
        return []
    return [float(f"{fmean(values[first:end]):.7g}") for first, end in bounds]


def _check_target(target: Path, plan: dict[str, Any]) -> None:
    if not target.exists() or not any(target.iterdir()):
        return
    if not (target / MANIFEST).exists():
        raise InvalidInput(
            f"--out {target}: is not empty and holds no packed study; choose another"
        )
    earlier = StudyFolder(target).plan
    if earlier["study"] != plan["study"] or study_of(earlier) != study_of(plan):
        raise InvalidInput(f"--out {target}: holds another study; choose another")


def _pack_run(source: RunFolder, target: RunFolder, *, whole: bool) -> None:
    target.path.mkdir(parents=True, exist_ok=True)
    for name in ("run.json", "status.json"):
        _copy(source.path / name, target.path / name)
    records = source.records() if whole else thinned(source.records())
    rows = [
        json.dumps(_short(to_row(record)), allow_nan=False, separators=(",", ":"))
        for record in records
    ]
    write_text(target.records_path, "".join(f"{row}\n" for row in rows))


def _short(row: dict[str, Any]) -> dict[str, Any]:
    """Write a row of as few characters as say the same, with times to the microsecond."""
    # `from_row` makes a list of one value again.
    equal = {name: row[name][0] for name in REPEATED if len(set(row.get(name, ()))) == 1}
    times = {name: round(row[name], 6) for name in TIMES & row.keys() if row[name]}
    correct = {"correct": list(map(_whole, row["correct"]))} if "correct" in row else {}
    return row | equal | times | correct


def _whole(number: float | None) -> float | None:
    return int(number) if isinstance(number, float) and number.is_integer() else number


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    write_text(target, source.read_text(encoding="utf-8"))


def _digests(folder: Path) -> dict[str, str]:
    """Hash the files of a study: path -> sha256; those of a report or a lease do not belong to it."""
    paths = [
        folder / PLAN,
        *folder.glob("runs/*/*.json*"),
        *folder.glob("counts/*.json"),
    ]
    return {
        path.relative_to(folder).as_posix(): sha256(path.read_bytes()).hexdigest()
        for path in sorted(paths)
        if path.exists()
    }
