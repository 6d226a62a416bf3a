"""Where code came from, and where and by what runs were made, as records keep it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from ngbench.records.part import Count, Name, Part, Text

__all__ = ["CommitRecord", "EnvironmentRecord", "PackageRecord", "SourceFileRecord"]


class CommitRecord(Part):
    """Which commit code was taken from, or the ``reason`` why that is not known.

    ``dirty`` says whether files of its repository were changed since; ``null`` where only the installer knew the
    commit.
    """

    commit: Name | None = None
    dirty: bool | None = None
    reason: Text | None = None


class PackageRecord(CommitRecord):
    """An installed distribution."""

    version: Name | None


class SourceFileRecord(CommitRecord):
    """The user's own file of an optimizer or a task, as it was; ``digest`` is the SHA-256 of its content."""

    path: Text
    digest: Name


class EnvironmentRecord(Part):
    """Where and by what the runs were made.

    ``packages`` are ngbench, numpy and whatever gave an optimizer, a task or an approximation. ``command`` can be typed
    again in a shell; there is none where ngbench was ``called_from`` Python. Both are ``null`` in records from before
    they were recorded.
    """

    ngbench: Name
    python: Name
    torch: Name | None = None
    cuda: Name | None = None
    platform: Name
    processor: Name
    cores: Count
    memory_bytes: Count
    threads: Count | None = None
    host: Name | None = None
    packages: dict[Name, PackageRecord] = {}
    called_from: Literal["shell", "Python"] | None = None
    command: Text | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_a_foreign_commit(cls, content: Any) -> Any:
        # Once there was the commit of the directory in which the command was called, whoever's that was.
        if isinstance(content, dict):
            return {key: value for key, value in content.items() if key != "git_commit"}
        return content

    @property
    def setting(self) -> EnvironmentRecord:
        """The same without the call: several calls are made in one setting."""
        return self.model_copy(update={"called_from": None, "command": None})

    @property
    def machine(self) -> EnvironmentRecord:
        """What times depend on. Each container has a host's name of its own, and a call only the packages it needs."""
        return self.setting.model_copy(update={"host": None, "packages": {}})
