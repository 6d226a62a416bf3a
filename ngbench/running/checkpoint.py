"""Checkpoints: the state of a run after an epoch, in one file that is replaced as a whole.

A file holds tensors, numbers, texts and containers only, and is read with ``weights_only=True``: loading one
executes nothing. It contains the record of the run so far, so that state and record cannot disagree. The archive holds
a CRC-32 of each of its parts, which loading verifies.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ngbench.disk.archives import load_archive, save_archive
from ngbench.errors import OutputError, RecordError
from ngbench.records.documents import parse_run
from ngbench.records.record import SCHEMA_VERSION, RunRecord
from ngbench.running.randomness import RandomState

__all__ = ["Checkpoint", "load_checkpoint", "save_checkpoint"]

VERSION = 1


@dataclass(frozen=True)
class Checkpoint:
    """What a run needs to go on.

    Attributes:
        model: the model's ``state_dict``.
        optimizer: the optimizer's.
        random: the states of the global random number generators.
        record: the record so far.
        averages: the averages of weights, by the name of the optimizer; none in a file from before there were any.
    """

    model: dict[str, Any]
    optimizer: dict[str, Any]
    random: RandomState
    record: RunRecord
    averages: dict[str, Any] = field(default_factory=dict)


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write ``path``, which is whole at every moment.

    Raises:
        OutputError: it cannot be written.
    """
    content = {
        "version": VERSION,
        "model": checkpoint.model,
        "optimizer": checkpoint.optimizer,
        "random": checkpoint.random,
        "averages": checkpoint.averages,
        "schema_version": SCHEMA_VERSION,
        "record": checkpoint.record.model_dump_json(),
    }
    try:
        save_archive(content, path)
    except OSError as error:
        raise OutputError(f"cannot write the checkpoint {str(path)!r}: {error.strerror or error}") from error


def load_checkpoint(path: Path) -> Checkpoint:
    """Read ``path``; its tensors are on the CPU.

    Raises:
        RecordError: the file is missing, corrupt, of another version, or holds what only code could restore.
    """
    try:
        content = load_archive(path)
        if content["version"] != VERSION:
            raise RecordError(
                f"the checkpoint {str(path)!r} has version {content['version']!r}; "
                f"this version of ngbench reads version {VERSION}"
            )
        record = parse_run(content["record"], content.get("schema_version", 1))
        states = {name: content[name] for name in ("model", "optimizer", "random")}
        states["averages"] = content.get("averages", {})
        if not all(isinstance(state, dict) for state in states.values()):
            raise TypeError("a state is no dictionary")
        return Checkpoint(**states, record=record)
    except RecordError:
        raise
    except FileNotFoundError:
        raise RecordError(f"the checkpoint {str(path)!r} is missing") from None
    except Exception as error:
        # torch.load raises whatever the damaged bytes lead to.
        raise RecordError(
            f"the checkpoint {str(path)!r} is corrupt ({type(error).__name__}); delete it and its record "
            "to start that run again"
        ) from error
