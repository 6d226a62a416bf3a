"""The output directory: one file for each run, valid at every moment, and its checkpoint beside it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ngbench.arms import file_slug
from ngbench.disk import files
from ngbench.disk.locks import LOCK_FILE, directory_taken
from ngbench.errors import OutputError, RecordError
from ngbench.records.differences import differing_fields
from ngbench.records.documents import dump, load_document
from ngbench.records.provenance import EnvironmentRecord
from ngbench.records.record import Document, RunRecord
from ngbench.spelling import argument

__all__ = ["IDENTITY", "Store", "check_unused"]

IDENTITY = (
    "task",
    "task_options",
    "task_file.digest",
    "data.name",
    "data.digest",
    "optimizer.name",
    "optimizer.hyperparameters",
    "optimizer.file.digest",
    "seed",
    "device",
    "dtype",
    "batch_size",
    "threads",
    "budget",
    "conditions",
    "target_loss",
    "adversarial.critic_steps",
    "adversarial.penalty",
    "adversarial.fid",
)
"""What must be equal for a run to be the same run."""


def check_unused(directory: Path, *, resume: bool) -> None:
    """Refuse a directory that holds something already, unless that is to be resumed.

    Raises:
        OutputError: naming it.
    """
    # A killed process leaves its lock behind, which keeps nobody out.
    if not resume and files.is_directory(directory) and set(files.entries(directory)) - {directory / LOCK_FILE}:
        raise OutputError(
            f"the output directory {str(directory)!r} is already used; "
            f"give another, or {argument('resume')} to go on with what it holds"
        )


class Store:
    """Writes records into a directory.

    Args:
        directory: is made if it does not exist.
        environment: goes into each file.
        resume: whether the directory may hold runs already.
        part_of: the comparison of a study that the runs belong to, in words.

    Raises:
        OutputError: the directory cannot be written, or is used and ``resume`` is false.
    """

    def __init__(
        self,
        directory: Path,
        environment: EnvironmentRecord,
        *,
        resume: bool,
        part_of: str | None = None,
    ) -> None:
        self.directory = directory
        self._environment = environment
        self._part_of = part_of
        self._resume = resume
        try:
            directory.mkdir(parents=True, exist_ok=True)
            probe = directory / f".{os.getpid()}.part"
            probe.touch()
            probe.unlink()
        except OSError as error:
            reason = files.reason(directory, error)
            raise OutputError(f"the output directory {str(directory)!r} cannot be written: {reason}") from error
        check_unused(directory, resume=resume)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """For as long as this process makes runs: no other can take the directory.

        Raises:
            OutputError: another one has it, or has used it since this was made.
        """
        with directory_taken(self.directory):
            check_unused(self.directory, resume=self._resume)
            yield

    def record_path(self, label: str, seed: int) -> Path:
        """The file of the run's record."""
        return self.directory / f"{file_slug(label)}-seed{seed}.json"

    def checkpoint_path(self, label: str, seed: int) -> Path:
        """The file of the run's checkpoint."""
        return self.record_path(label, seed).with_suffix(".pt")

    def write(self, record: RunRecord) -> None:
        """Replace the run's file.

        Raises:
            OutputError: it cannot be written.
        """
        path = self.record_path(record.label, record.seed)
        partial = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            try:
                document = Document(environment=self._environment, runs=[record], part_of=self._part_of)
                partial.write_text(dump(document, sealed=True), "utf-8")
                os.replace(partial, path)
            finally:
                partial.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"cannot write the record {str(path)!r}: {error.strerror or error}") from error

    def recorded(self) -> list[RunRecord]:
        """The runs that the directory holds.

        Raises:
            RecordError: a file is not the record of one run.
        """
        return [self._load(path) for path in files.entries(self.directory, "*-seed[0-9]*.json")]

    def _load(self, path: Path) -> RunRecord:
        document = load_document(path, sealed=True)
        if len(document.runs) != 1:
            raise RecordError(f"the record {str(path)!r} holds {len(document.runs)} runs, it must hold one")
        (run,) = document.runs
        elsewhere = run.environment is None and document.environment != self._environment
        return run.model_copy(update={"environment": document.environment}) if elsewhere else run

    def match(self, planned: list[RunRecord]) -> dict[tuple[str, int], RunRecord]:
        """What the directory holds of the planned runs, by label and seed.

        Raises:
            RecordError: a file is corrupt, or belongs to a run that is not among the planned ones; the message
                names what differs.
        """
        plan = {(record.label, record.seed): record for record in planned}
        found = {}
        for record in self.recorded():
            key = (record.label, record.seed)
            other = plan.get(key) or self._nearest(record, planned)
            path = str(self.record_path(*key))
            if other is None:
                raise RecordError(
                    f"{path!r} holds the run {record.label!r} with seed {record.seed}, which is not part of "
                    "what is asked for; name it too, or give another output directory"
                )
            differences = list(differing_fields(record, other, IDENTITY))
            if key not in plan or differences:
                what = "; ".join(differences) or f"label is {record.label!r} there and {other.label!r} here"
                raise RecordError(f"{path!r} is another run than the one to be resumed: {what}")
            found[key] = record
        return found

    def _nearest(self, record: RunRecord, planned: list[RunRecord]) -> RunRecord | None:
        """The planned run that was probably meant to go on with ``record``."""
        same = [p for p in planned if p.optimizer.name == record.optimizer.name and p.seed == record.seed]
        return same[0] if len(same) == 1 else None
