"""The pytest plugin: a fixture that measures what an optimizer's step costs, phase by phase, beside a reference's.

pytest loads it wherever ngbench is installed; torch is imported when a test uses the fixture. It needs
pytest-benchmark, in whose tables and JSON the results stand::

    def test_cost(ngbench_step):
        costs = ngbench_step("kfac", task="mnist-autoencoder", batch_size=256)
        assert not costs.ratio.exceeds(4.0)
        assert not costs.phases["precondition"].ratio.exceeds(2.0)

``exceeds`` is true only if the whole 95 % interval lies beyond the limit. With ``--benchmark-disable`` two steps of
each arm are taken and nothing exceeds anything, so that the same test finds out whether the optimizer works at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ngbench.experiments.step_measurement import StepCosts

_BENCHMARK = ("benchmark", "pytest_benchmark.plugin")
"""Names under which pytest knows pytest-benchmark: of its entry point, and of its module."""
_MISSING = "the fixture ngbench_step needs pytest-benchmark: pip install 'ngbench[pytest]' (and no -p no:benchmark)"
_DRY_STEPS = 2

_entries: pytest.StashKey[dict[str, list[dict[str, Any]]]] = pytest.StashKey()


class NgbenchStep:
    """What the fixture ``ngbench_step`` gives; a test calls it once."""

    def __init__(self, request: pytest.FixtureRequest, benchmark: Any) -> None:
        self._node = request.node
        self._benchmark = benchmark
        self._entries = request.config.stash.setdefault(_entries, {})

    def __call__(
        self,
        optimizer: Any,
        *,
        task: Any = "curves-autoencoder",
        reference: Any = "sgd",
        rounds: int = 24,
        steps: int = 5,
        batch_size: int | None = None,
        options: Mapping[str, Any] | None = None,
        seed: int = 0,
        device: str = "auto",
        dtype: str = "float32",
        threads: int | None = None,
        data_dir: Path | None = None,
    ) -> StepCosts:
        """Measure the optimizer and the reference in turns.

        Args:
            optimizer: ``[LABEL@]NAME[:KEY=VALUE,...]``, as after ``ngbench compare -o``, or a class; one that
                :func:`ngbench.compare` takes.
            task: a task that it takes, by name or as an object.
            reference: another such optimizer, of which a step is the unit of ratios.
            rounds: in which the two take turns; at least so many, since the end of an epoch ends a turn too.
            steps: of each in a round. What is done at every tenth step needs no rounds of ten: plain and refresh steps
                are averaged apart.
            batch_size: the task's if none is given.
            options: the task's own, by name.
            seed: of the initial weights and the data order.
            device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
            dtype: name of a floating-point type of torch.
            threads: of torch's operations on the CPU.
            data_dir: where data sets live.

        Returns:
            The costs; see :class:`ngbench.experiments.step_measurement.StepCosts`. What cannot be measured fails
            the test with one sentence.
        """
        from ngbench.errors import NgbenchError

        dry = bool(self._benchmark.disabled)
        try:
            asked = _at_least_one("rounds", rounds) * _at_least_one("steps", steps)
            return self._measure(
                task,
                _two_arms(reference, optimizer),
                task_options=options,
                steps=_DRY_STEPS if dry else asked,
                turn_steps=_DRY_STEPS if dry else steps,
                batch_size=batch_size,
                seed=seed,
                device=device,
                dtype=dtype,
                threads=threads,
                data_dir=data_dir,
            )
        except NgbenchError as error:
            sentence = str(error)
        # Not in the handler, or the error would be shown a second time as what came before.
        pytest.fail(sentence, pytrace=False)

    def _measure(self, task: Any, arms: list[Any], **options: Any) -> StepCosts:
        import ngbench
        from ngbench.experiments.step_measurement import step_costs
        from ngbench.report.exports.pytest_benchmark import group_name

        measured: list[ngbench.ResultDocument] = []

        def measure() -> None:
            measured.append(ngbench.compare(task, arms, own_processes=False, **options))

        benchmark = self._benchmark
        # Everything is one round to pytest-benchmark: it times evaluations too, so our rounds replace its own.
        benchmark.pedantic(measure, rounds=1)
        if any(run.status == "interrupted" for run in measured[0].runs):
            raise KeyboardInterrupt
        costs = step_costs(measured[0])
        if benchmark.stats is not None:
            benchmark.stats.group = benchmark.group or group_name(costs.title, costs.step)
            benchmark.stats.stats.data[:] = costs.step.samples
            benchmark.stats.iterations = costs.step.iterations
        self._describe(costs)
        return costs

    def _describe(self, costs: StepCosts) -> None:
        """Put what the step's own row does not say beside it: its ``extra_info``, and rows for the other parts."""
        from ngbench.report.exports.pytest_benchmark import entry, extra_info, group_name

        own, name, node_id = costs.step, self._node.name, self._node.nodeid
        reference = costs.reference.label
        runs = {reference: [costs.reference], costs.record.label: [costs.record]}
        infos = [(cost, extra_info(cost, reference, runs[cost.arm])) for cost in costs.costs]
        for cost, info in infos:
            if cost is own:
                self._benchmark.extra_info.update(info)
        self._entries[node_id] = [
            entry(
                cost,
                group_name(costs.title, cost),
                f"{name}:{cost.part}[{cost.arm}]",
                f"{node_id}:{cost.part}[{cost.arm}]",
                info,
            )
            for cost, info in infos
            if cost is not own
        ]


class _WithBenchmark:
    @pytest.fixture
    def ngbench_step(self, request: pytest.FixtureRequest, benchmark: Any) -> NgbenchStep:
        """Measures what an optimizer's step costs, phase by phase and in steps of a reference.

        ``ngbench_step("my-optimizer", task="mnist-autoencoder", reference="sgd")`` returns costs whose ``ratio`` and
        ``phases`` a test can make assertions on; tables and JSON of pytest-benchmark show them.
        """
        return NgbenchStep(request, benchmark)

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_benchmark_group_stats(self, config: pytest.Config, benchmarks: list[dict[str, Any]]) -> None:
        """Add the rows of the other parts of each step to those that are about to be grouped into tables."""
        sources = {row["fullname"]: row["source"] for row in benchmarks if row["path"] is None}
        for node_id, entries in config.stash.get(_entries, {}).items():
            if node_id in sources:
                benchmarks += [_row(one, sources[node_id]) for one in entries]

    @pytest.hookimpl(optionalhook=True)
    def pytest_benchmark_update_json(self, config: pytest.Config, output_json: dict[str, Any]) -> None:
        """Save the same rows."""
        saved = {row["fullname"]: row for row in output_json["benchmarks"]}
        for node_id, entries in config.stash.get(_entries, {}).items():
            if node_id in saved:
                with_data = "data" in saved[node_id]["stats"]
                output_json["benchmarks"] += [one if with_data else _without_data(one) for one in entries]


class _WithoutBenchmark:
    @pytest.fixture
    def ngbench_step(self) -> None:
        """Needs pytest-benchmark, which is not there."""
        pytest.fail(_MISSING, pytrace=False)


def pytest_configure(config: pytest.Config) -> None:
    """Offer the fixture that pytest-benchmark allows; one that asked for a fixture in vain would not say why."""
    there = any(config.pluginmanager.has_plugin(name) for name in _BENCHMARK)
    config.pluginmanager.register(_WithBenchmark() if there else _WithoutBenchmark(), "ngbench_step")


def _two_arms(reference: Any, optimizer: Any) -> list[Any]:
    from ngbench.errors import ParameterError
    from ngbench.library.arguments import Asked

    for name, given in (("reference", reference), ("optimizer", optimizer)):
        if len(Asked().arms([given])) != 1:
            raise ParameterError(f"{name}={given!r} is not allowed, it must be one optimizer: NAME[:KEY=VALUE,...]")
    return [reference, optimizer]


def _at_least_one(name: str, value: int) -> int:
    from ngbench.errors import ParameterError

    if value < 1:
        raise ParameterError(f"{name}={value} is not allowed, it must be at least 1")
    return value


def _row(one: dict[str, Any], source: Any) -> dict[str, Any]:
    """An entry of the JSON as a row of the tables."""
    flat = {key: value for key, value in one.items() if key != "stats"}
    return {**flat, **_without_data(one)["stats"], "path": None, "source": source}


def _without_data(one: dict[str, Any]) -> dict[str, Any]:
    return {**one, "stats": {key: value for key, value in one["stats"].items() if key != "data"}}
