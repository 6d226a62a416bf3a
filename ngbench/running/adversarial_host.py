"""Where runs of two players are executed."""

from __future__ import annotations

from ngbench.records.record import RunRecord
from ngbench.running.adversarial_config import AdversarialConfig
from ngbench.running.adversarial_problem import AdversarialProblem, load_adversarial_problem
from ngbench.running.adversarial_training import AdversarialTraining
from ngbench.running.config import RunConfig
from ngbench.running.executors import Host
from ngbench.running.run import Run

__all__ = ["AdversarialHost"]


class AdversarialHost(Host):
    """Runs of two players.

    Args:
        problem: that of all runs, if it is loaded already.
    """

    def __init__(self, problem: AdversarialProblem | None = None) -> None:
        super().__init__()
        self._problem = problem

    def start(self, config: RunConfig, record: RunRecord) -> Run:
        assert isinstance(config, AdversarialConfig)
        if self._problem is None:
            self._problem = load_adversarial_problem(config.task, config.task_options, config.data_dir)
        return Run(AdversarialTraining(config, self._problem), record)
