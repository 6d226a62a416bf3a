"""A study that ran, read back from the directory that it left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import yaml

from ngbench.disk import files
from ngbench.experiments.studies.cells import RanCell, runs_by_arm
from ngbench.experiments.studies.claims import ScaleName
from ngbench.experiments.studies.models import Study
from ngbench.experiments.studies.pairs import CellRuns
from ngbench.experiments.studies.plan import plan_cells
from ngbench.records.sources import load_records
from ngbench.records.studies import StudyRecord

__all__ = ["RecordedStudy", "recorded_study"]


@dataclass(frozen=True)
class RecordedStudy:
    """A study that ran, at which scale, and its comparisons."""

    study: Study
    scale: ScaleName
    ran: Sequence[RanCell]


def recorded_study(record: StudyRecord, directory: Path) -> RecordedStudy | None:
    """The study with its comparisons, as far as they ran; ``None`` where the directory holds none of them.

    Args:
        record: of the study.
        directory: of that record; each comparison has a directory in it.

    Raises:
        RecordError: a record cannot be read.
    """
    scale = next((scale for scale in get_args(ScaleName) if scale == record.scale), None)
    if record.definition is None or scale is None:
        return None
    study = Study.model_validate(yaml.safe_load(record.definition))
    ran = []
    for cell in plan_cells(study, scale):
        for own in files.entries(directory, f"{cell.panel.name}-{'*' if cell.batch_size is None else cell.batch_size}"):
            document = load_records(own) if files.is_directory(own) else None
            if document is not None and document.runs:
                runs = CellRuns(cell.panel.name, document.runs[0].batch_size, runs_by_arm(study, cell, document.runs))
                ran.append(RanCell(runs, document.runs, own))
    return RecordedStudy(study, scale, ran) if ran else None
