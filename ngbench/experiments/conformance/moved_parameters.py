"""Which parameters an optimizer moves: those of its groups, at the learning rate of each, if they have a gradient."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from ngbench.experiments.conformance.outcome import CheckFailed, Passed
from ngbench.experiments.conformance.specimens import classification, with_spare
from ngbench.experiments.conformance.trial import OptimizerSubject, Trial, differ

__all__ = ["check_frozen_parameters", "check_parameter_groups", "check_unused_parameters"]


def check_parameter_groups(subject: OptimizerSubject) -> Passed:
    """Every parameter is in one group, and a group with learning rate 0 stays where it is."""
    trial = Trial(subject)
    groups = trial.optimizer.param_groups
    held = [id(parameter) for group in groups for parameter in group["params"]]
    for name, parameter in trial.model.named_parameters():
        if held.count(id(parameter)) != 1:
            raise CheckFailed(
                f"{name} is in {held.count(id(parameter))} parameter groups: hand all of model.parameters() to "
                "torch.optim.Optimizer, once"
            )
    if any("lr" not in group for group in groups):
        raise CheckFailed("a parameter group has no 'lr': keep the step size there, where schedulers change it")
    if len(groups) == 1:
        _split(trial)
    groups = trial.optimizer.param_groups
    groups[-1]["lr"] = 0.0 * groups[-1]["lr"]
    resting = {id(parameter) for parameter in groups[-1]["params"]}
    names = {name for name, parameter in trial.model.named_parameters() if id(parameter) in resting}
    before = trial.parameters()
    trial.run(2)
    moved = set(differ(before, trial.parameters()))
    if spoilt := sorted(moved & names):
        raise CheckFailed(
            f"{spoilt[0]} moved although the learning rate of its group is 0: read the settings from the group of each "
            "parameter at every step, not once when the optimizer is made"
        )
    if not moved:
        raise CheckFailed("a second parameter group stopped the first one: loop over all of param_groups")
    return Passed(f"{len(groups)} groups, the last one at rest with lr=0")


def _split(trial: Trial) -> None:
    """Give the second half of the parameters a group of their own."""
    (group,) = trial.optimizer.param_groups
    parameters = list(group["params"])
    half = len(parameters) // 2
    options = {name: value for name, value in group.items() if name != "params"}
    group["params"] = parameters[:half]
    trial.optimizer.add_param_group({**options, "params": parameters[half:]})


def check_frozen_parameters(subject: OptimizerSubject) -> Passed:
    """Parameters that need no gradient stay, whether frozen before the optimizer was made or after."""
    frozen: dict[int, str] = {}

    def freeze(model: nn.Module) -> None:
        for name, parameter in list(model.named_parameters())[:2]:
            parameter.requires_grad_(False)
            frozen[id(parameter)] = name

    trial = Trial(subject, alter=freeze)
    before = trial.parameters()
    trial.run(2)
    _expect_at_rest(trial, before, list(frozen.values()), "frozen before the optimizer was made")
    name, later = list(trial.model.named_parameters())[-1]
    later.requires_grad_(False)
    before = trial.parameters()
    trial.run(2)
    _expect_at_rest(trial, before, [name], "frozen in the middle of a run")
    return Passed("stay, frozen before or during a run")


def check_unused_parameters(subject: OptimizerSubject) -> Passed:
    """A layer that has no part in the loss, and so no gradient, does no harm."""
    trial = Trial(subject, with_spare(classification()))
    before = trial.parameters()
    trial.run(3)
    unused = [name for name in before if name.startswith("spare")]
    _expect_at_rest(trial, before, unused, "without a gradient")
    return Passed("a layer without gradient stays")


def _expect_at_rest(trial: Trial, before: Mapping[str, Tensor], names: list[str], why: str) -> None:
    moved = differ(before, trial.parameters())
    for name in names:
        if name in moved:
            raise CheckFailed(f"{name} moved, {why}: skip parameters whose grad is None")
    if not set(moved) - set(names):
        raise CheckFailed(f"nothing moved any more beside a parameter {why}: skip it alone")
