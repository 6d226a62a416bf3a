"""Records of schema version 1 as those of today.

In version 1 only the keys of a run were declared. Fisher errors, samples, claims, studies and searches stood beside
them, and so did keys of anybody's own, at every level.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from ngbench.records.part import Part
from ngbench.records.record import SCHEMA_VERSION, Document, RunRecord

__all__ = ["migrate_document", "migrate_run"]

_Content = dict[str, Any]
_Model = TypeVar("_Model", bound=Part)

_NEED_NOT_BE_THERE: Mapping[str, Any] = {
    "task_options": {},
    "threads": None,
    "budget": {},
    "parameters": None,
    "history": {},
    "steps": {},
    "phases": {},
    "memory": {},
    "started_at": None,
}
"""What every run has and version 1 did not ask for."""
_OF_A_STUDY = ("title", "source", "question", "scale", "seconds", "definition")


def migrate_document(content: Mapping[str, Any]) -> Document:
    """The document that a JSON file of version 1 holds.

    Raises:
        ValidationError: it does not follow the schema.
    """
    new = {**content, "schema_version": SCHEMA_VERSION}
    if isinstance(new.get("runs"), list):
        new["runs"] = [_run(run) if isinstance(run, dict) else run for run in new["runs"]]
    _rename_fisher_errors(new)
    if isinstance(new.get("tuning"), dict):
        search = new.pop("tuning")
        new["search"] = {key: value for key, value in search.items() if key != "version"}
    _gather_studies(new)
    return _with_extras(Document, new)


def migrate_run(content: Mapping[str, Any]) -> RunRecord:
    """The run that a checkpoint of version 1 holds.

    Raises:
        ValidationError: it does not follow the schema.
    """
    return _with_extras(RunRecord, _run(content))


def _run(content: Mapping[str, Any]) -> _Content:
    new = {**_NEED_NOT_BE_THERE, **content}
    _rename_fisher_errors(new)
    if "tuning" in new:
        new["trial"] = new.pop("tuning")
    if isinstance(new.get("diagnostics"), dict):
        new["diagnostics"] = {name: _numbers(found) for name, found in new["diagnostics"].items()}
    return new


def _numbers(series: Any) -> Any:
    """The entries of a diagnostic that are a step and a number: a plugin's could be anything."""
    if not isinstance(series, list):
        return series
    return [
        entry
        for entry in series
        if isinstance(entry, list) and len(entry) == 2
        if isinstance(entry[0], int) and (entry[1] is None or isinstance(entry[1], int | float))
    ]


def _rename_fisher_errors(content: _Content) -> None:
    """``fisher_error`` was one object, or a list of them."""
    if "fisher_error" not in content:
        return
    found = content.pop("fisher_error")
    parts = found if isinstance(found, list) else [found]
    nothing = {"layer_name": None, "fisher": None}
    content["fisher_errors"] = [{**nothing, **part} if isinstance(part, dict) else part for part in parts]


def _gather_studies(content: _Content) -> None:
    """``study`` named the study of a file: one that it was about, or one that its runs were a part of."""
    claims, name = content.pop("claims", []), content.pop("study", None)
    studies = content.pop("studies", None)
    if not isinstance(claims, list) or not all(isinstance(one, dict) and "study" in one for one in claims):
        # For the message about it.
        content["studies"] = [{"study": name, **dict.fromkeys(_OF_A_STUDY), "claims": claims}]
        return
    about = {key: content.pop(key) for key in _OF_A_STUDY if key in content} if isinstance(name, str) else {}
    if content.get("runs") and isinstance(name, str):
        content["part_of"] = name
    if isinstance(studies, list):
        found = [{**one} if isinstance(one, dict) else one for one in studies]
    else:
        found = [{"study": name, **about}] if about else []
    known = [one.get("study") for one in found if isinstance(one, dict)]
    for claim in claims:
        if claim["study"] not in known:
            known.append(claim["study"])
            found.append({"study": claim["study"]})
    for one in found:
        if isinstance(one, dict):
            ours = [claim for claim in claims if claim["study"] == one.get("study")]
            one |= {key: one.get(key) for key in _OF_A_STUDY} | {"claims": ours}
    if found:
        content["studies"] = found


def _with_extras(model: type[_Model], content: _Content) -> _Model:
    """The model of the content, with the keys that are not declared under ``extras``."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        unknown = [one["loc"] for one in error.errors(include_url=False) if one["type"] == "extra_forbidden"]
        if not unknown:
            raise
        try:
            for where in unknown:
                _set_aside(content, where)
        except (LookupError, TypeError):
            raise error from None
    return model.model_validate(content)


def _set_aside(content: _Content, where: tuple[str | int, ...]) -> None:
    """Move the value to the ``extras`` of its run, or of the document, under the keys that led to it."""
    holder: Any = content
    inside = 2 if where[0] == "runs" else 0
    owner = content["runs"][where[1]] if inside else content
    for key in where[:-1]:
        holder = holder[key]
    value = holder.pop(where[-1])
    owner.setdefault("extras", {})[".".join(map(str, where[inside:]))] = value
