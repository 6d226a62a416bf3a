"""Where the code is that runs are compared with: another commit of a repository, or another environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import distribution
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlparse
from urllib.request import url2pathname

from ngbench.disk import files
from ngbench.errors import UsageError
from ngbench.plugins.plugin import Plugin
from ngbench.running.programs import CodeSide
from ngbench.spelling import argument

__all__ = ["other_side", "this_side"]


def this_side() -> CodeSide:
    """Of the code that runs here, in processes like those of another side."""
    return CodeSide("this side", sys.executable, [place or os.getcwd() for place in sys.path], Path.cwd())


@contextmanager
def other_side(name: str, plugins: Sequence[Plugin]) -> Iterator[CodeSide]:
    """The side that the user calls so; a checkout is made for the time of the context, and removed after it.

    Args:
        name: the path of an environment or of its interpreter, else a commit, branch or tag of the repository around
            the current directory.
        plugins: what will run; one of them must be of that repository.

    Raises:
        UsageError: there is neither, nothing that runs is of the repository, or the commit cannot be installed.
    """
    python = _interpreter(Path(name))
    if python is not None:
        yield CodeSide(name, python, None, Path.cwd())
        return
    top, commit = _commit(name)
    projects = _projects(plugins, top)
    with TemporaryDirectory(prefix="ngbench-", ignore_cleanup_errors=True) as directory:
        checkout, site = Path(directory).resolve() / "checkout", Path(directory).resolve() / "site"
        _git(top, "worktree", "add", "--quiet", "--detach", str(checkout), commit)
        try:
            for project in projects.values():
                _install(checkout / project, site, name)
            path = [str(site), *(str(_moved(Path(place or os.getcwd()), top, checkout)) for place in sys.path)]
            yield CodeSide(name, sys.executable, path, _moved(Path.cwd(), top, checkout), commit, tuple(projects), top)
        finally:
            _git(top, "worktree", "remove", "--force", str(checkout))


def _interpreter(path: Path) -> str | None:
    """The interpreter of an environment, if the path is that of one or of its interpreter."""
    candidates = (path, path / "bin" / "python", path / "Scripts" / "python.exe")
    return next((str(one.absolute()) for one in candidates if files.is_file(one) and os.access(one, os.X_OK)), None)


def _commit(name: str) -> tuple[Path, str]:
    """The repository around the current directory, and the commit of that name in it."""
    here = Path.cwd()
    top = _ask(here, "rev-parse", "--show-toplevel")
    if isinstance(top, _No):
        raise UsageError(
            f"{argument('against', name)} is not allowed: there is no environment of that path, and the "
            f"current directory is in no git repository ({top})"
        )
    commit = _ask(here, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    if isinstance(commit, _No):
        raise UsageError(
            f"{argument('against', name)} is not allowed: there is no environment of that path, and no such "
            f"commit, branch or tag in {top!r}; a shallow clone may have to fetch it first"
        )
    return Path(top).resolve(), commit


def _projects(plugins: Sequence[Plugin], top: Path) -> dict[str, Path]:
    """The distributions that were installed from the repository and that plugins are of, with their places in it.

    Raises:
        UsageError: no plugin is of the repository, or one could not be found in a checkout of it.
    """
    found: dict[str, Path] = {}
    own = False
    for plugin in plugins:
        if plugin.file is not None and Path(plugin.file.path).resolve().is_relative_to(top):
            own = True
            if Path(plugin.name).is_absolute():
                raise UsageError(
                    f"{plugin.kind} {plugin.name!r} is not allowed with a commit for {argument('against')}: give its "
                    "path from the current directory, which leads to the file of that commit too"
                )
        source = None if plugin.distribution is None else _source(plugin.distribution)
        if plugin.distribution is not None and source is not None and source.is_relative_to(top):
            found[plugin.distribution] = source.relative_to(top)
    if not own and not found:
        raise UsageError(
            f"none of {', '.join(repr(plugin.name) for plugin in plugins)} is of the repository {str(top)!r}, so its "
            "commits make no difference: install it with pip install . or -e ., or name a file in it"
        )
    return found


def _source(name: str) -> Path | None:
    """The directory that a distribution was installed from, if pip was given one."""
    text = distribution(name).read_text("direct_url.json")
    url = urlparse(json.loads(text)["url"]) if text else None
    return Path(url2pathname(url.path)).resolve() if url is not None and url.scheme == "file" else None


def _install(project: Path, site: Path, name: str) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(project)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UsageError(
            f"{argument('against', name)}: that commit cannot be installed ({_reason(done.stderr)}); give the path "
            "of an environment that has it"
        )


def _moved(place: Path, top: Path, checkout: Path) -> Path:
    """The path in the checkout of a path in the repository; another path as it is."""
    resolved = place.resolve()
    installed = resolved.is_relative_to(Path(sys.prefix).resolve())
    return checkout / resolved.relative_to(top) if resolved.is_relative_to(top) and not installed else place


class _No(str):
    """Why git has no answer."""


def _ask(directory: Path, *arguments: str) -> str | _No:
    command = ["git", "-C", str(directory), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        return _No(f"git cannot be started: {error.strerror}")
    return done.stdout.strip() if done.returncode == 0 else _No(_reason(done.stderr))


def _git(directory: Path, *arguments: str) -> None:
    if isinstance(answer := _ask(directory, *arguments), _No):
        raise UsageError(f"git {' '.join(arguments[:2])} failed: {answer}")


def _reason(text: str) -> str:
    """What a program that failed says of it: the first line that speaks of an error, else the last."""
    lines = text.strip().splitlines()
    last = lines[-1] if lines else "it gives no reason"
    return next((line.strip() for line in lines if "error" in line.lower()), last)
