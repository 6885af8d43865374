"""Run folders and study folders: plain text on disk, written so that a crash loses nothing that was complete."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from losslab.errors import InvalidInput, StoreError
from losslab.files import complete_lines, locked, read_json, write_json, write_text
from losslab.records import Record, from_row, to_row
from losslab.spec import Run, make_run
from losslab.study.fields import varying_fields

LEASE_SECONDS = 30.0
"""How long a run waits for a process that still works in its folder."""
Status = Literal["new", "running", "done", "diverged", "out_of_memory", "failed", "interrupted"]
ENDED: frozenset[Status] = frozenset({"done", "diverged", "out_of_memory"})
"""States that repeating the run would only reach again."""


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run: run.json, records.jsonl, status.json, checkpoints/."""

    path: Path

    @property
    def records_path(self) -> Path:
        """One JSON row per record, append only."""
        return self.path / "records.jsonl"

    @property
    def run(self) -> Run:
        """The spec of the run whose folder this is."""
        return make_run(self._stated("run"), of_record=True)

    @property
    def environment(self) -> dict[str, Any]:
        """Versions and machine that the run was started with."""
        environment: dict[str, Any] = self._stated("environment")
        return environment

    def _stated(self, key: str) -> Any:
        facts = read_json(self.path / "run.json")
        if not isinstance(facts, dict) or key not in facts:
            raise StoreError(f"{self.path / 'run.json'}: not what losslab writes")
        return facts[key]

    @property
    def status(self) -> dict[str, Any]:
        """State, message and step; a folder without one is new."""
        if not (self.path / "status.json").exists():
            return {"status": "new", "message": "", "step": 0, "memory_bytes": 0}
        status: dict[str, Any] = read_json(self.path / "status.json")
        if not isinstance(status, dict) or not {"status", "message"} <= status.keys():
            raise StoreError(f"{self.path / 'status.json'}: not what losslab writes")
        return status

    def check_holds(self, run: Run) -> None:
        """Check that a run may train here, before anything is written.

        Raises:
            InvalidInput: when the folder is another run's or a study's, or no folder.
        """
        if self.path.exists() and not self.path.is_dir():
            raise InvalidInput(f"{self.path}: is a file; give a folder")
        if (self.path / "study.json").exists():
            raise InvalidInput(f"{self.path}: holds a study; choose another folder")
        if (self.path / "run.json").exists():
            self._check_is_same(run)
        elif self.records_path.exists():
            raise InvalidInput(
                f"{self.path}: holds records without their run.json; choose another folder"
            )

    def _check_is_same(self, run: Run) -> None:
        held = self.run
        if held.id == run.id:
            return
        specs = [spec.model_dump(mode="json") for spec in (held, run)]
        differing = ", ".join(f"`{field}`" for field in varying_fields(specs))
        raise InvalidInput(
            f"{self.path}: holds another run, with another {differing}; choose another folder or repeat its options"
        )

    def create(self, run: Run, environment: dict[str, Any]) -> None:
        """Make the folder and state what is to run in it."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_json(
            self.path / "run.json",
            {"run": run.model_dump(mode="json"), "environment": environment},
        )

    def set_status(
        self, status: Status, *, step: int = 0, message: str = "", memory_bytes: int = 0
    ) -> None:
        """Replace the state of the run; the memory is the most that its process has held, 0 where it is not known."""
        facts = {
            "status": status,
            "message": message,
            "step": step,
            "memory_bytes": memory_bytes,
        }
        write_json(self.path / "status.json", facts)

    @contextmanager
    def lease(self) -> Iterator[None]:
        """Keep every other process out of the run, after waiting a while for one that is about to end.

        Raises:
            InvalidInput: when it cannot be created or written.
            StoreError: when another process goes on working in it.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            (self.path / "lease").touch()
        except OSError as error:
            raise InvalidInput(
                f"{self.path}: cannot be written ({error.strerror}); choose another folder"
            ) from error
        with locked(self.path / "lease", LEASE_SECONDS):
            yield

    def fail(self, run: Run, message: str) -> None:
        """Mark the run failed from outside, because its process was killed, for example."""
        # Without its spec a report could not name the run.
        if not (self.path / "run.json").exists():
            self.create(run, {})
        self.set_status("failed", message=message)

    @contextmanager
    def appending(self, keep: int = 0) -> "Iterator[RecordWriter]":
        """Append records after the first ``keep`` rows; cut off later rows and a torn last line."""
        complete = complete_lines(self.records_path)[:keep]
        with self.records_path.open("a+b") as file:
            # Rows after the checkpoint are of steps that are trained again, and would stand there twice.
            file.truncate(sum(len(line) for line in complete))
            yield RecordWriter(file.fileno(), len(complete))

    def records(self) -> list[Record]:
        """All complete records."""
        try:
            return [from_row(json.loads(line)) for line in complete_lines(self.records_path)]
        except ValueError as error:
            raise StoreError(f"{self.records_path}: {error}") from error


@dataclass
class RecordWriter:
    """Appends rows, each by one write, so that rows are never interleaved or half overwritten."""

    descriptor: int
    rows: int

    def append(self, record: Record) -> None:
        """Add one row."""
        line = (json.dumps(to_row(record), allow_nan=False) + "\n").encode()
        if os.write(self.descriptor, line) != len(line):
            raise StoreError("records.jsonl: the row was not written whole; is the disk full?")
        self.rows += 1

    def sync(self) -> None:
        """Wait until the rows are on disk."""
        os.fsync(self.descriptor)


@dataclass(frozen=True)
class StudyFolder:
    """The folder of a study: study.json (its spec and plan), runs/, counts/ and, later, the report."""

    path: Path

    def run_folder(self, run_id: str) -> RunFolder:
        """The folder of one of its runs."""
        return RunFolder(self.path / "runs" / run_id)

    def count_path(self, count_id: str) -> Path:
        """Where the ledger of one of its networks is."""
        return self.path / "counts" / f"{count_id}.json"

    @property
    def has_plan(self) -> bool:
        """Whether a study has been begun here."""
        return (self.path / "study.json").exists()

    @property
    def plan(self) -> dict[str, Any]:
        """The content of study.json: the spec, the scale and the stages, which list the identities of their runs."""
        if not self.has_plan:
            inside = sorted(path.parent.name for path in self.path.glob("*/study.json"))
            several = f"; give one of those in it: {', '.join(inside)}" if inside else ""
            remedy = several or "; give the --out folder of a study"
            raise InvalidInput(f"{self.path}: holds no study (no study.json){remedy}")
        plan: dict[str, Any] = read_json(self.path / "study.json")
        if not isinstance(plan, dict):
            raise StoreError(f"{self.path / 'study.json'}: not what losslab writes")
        return plan

    def write_plan(self, plan: dict[str, Any]) -> None:
        """Replace the plan."""
        write_json(self.path / "study.json", plan)

    def prepare(self) -> None:
        """Make the folder.

        Raises:
            InvalidInput: when it cannot be created or written, or is a run's.
        """
        if RunFolder(self.path).records_path.exists():
            raise InvalidInput(f"--out {self.path}: holds a run; choose another folder")
        try:
            (self.path / "runs").mkdir(parents=True, exist_ok=True)
            # Tried now: measuring costs takes minutes, after which a refusal would be late.
            write_text(self.path / ".writable", "")
            # Another command may try the same at the same moment; the lease decides between them.
            (self.path / ".writable").unlink(missing_ok=True)
        except OSError as error:
            raise InvalidInput(
                f"--out {self.path}: cannot be written ({error.strerror}); choose another"
            ) from error

    @contextmanager
    def lease(self) -> Iterator[None]:
        """Keep every other process out; the system releases the lease when its holder ends, however it ends.

        Raises:
            StoreError: when another process holds it.
        """
        with locked(self.path / "lease", 0.0):
            yield
