"""The checks of tasks, in the order in which they are shown."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor, nn

from ngbench.adversarial_task import AdversarialTask
from ngbench.errors import DataError, NgbenchError, UsageError, one_line
from ngbench.experiments.conformance.outcome import Check, CheckFailed, CheckNotApplicable, Passed
from ngbench.experiments.conformance.published_values import check_batch_sizes, check_grids, check_hyperparameters
from ngbench.experiments.conformance.signature import check_signature
from ngbench.experiments.conformance.task_subject import TaskSubject, built
from ngbench.experiments.conformance.trial import differ
from ngbench.running.randomness import epoch_generator
from ngbench.task import Data

__all__ = ["TASK_CHECKS"]

TOLERANCE = 1e-5


def _check_signature(subject: TaskSubject) -> Passed:
    try:
        plugin = subject.plugin
        plugin.resolve(subject.given)
    except NgbenchError as error:
        raise CheckFailed(one_line(error), fatal=True) from error
    return check_signature(plugin.build, plugin.parameters, accepts_any=plugin.accepts_any)


def _check_task(subject: TaskSubject) -> Passed:
    try:
        task = subject.task
    except UsageError as error:
        raise CheckFailed(one_line(error), fatal=True) from error
    kind = "generator and critic" if isinstance(task, AdversarialTask) else type(task.likelihood).__name__
    return Passed(f"{kind}, batches of {task.batch_size}, {task.epochs} epochs")


def _check_data(subject: TaskSubject) -> Passed:
    """The data can be loaded, fit together and are finite."""
    try:
        data = subject.data
    except DataError as error:
        raise CheckNotApplicable(f"its data cannot be had here: {error}", fatal=True) from error
    except NgbenchError as error:
        raise CheckFailed(one_line(error), fatal=True) from error
    train, validation = _row(data.train_inputs), _row(data.validation_inputs)
    if validation is not None and train is not None and train.shape != validation.shape:
        raise CheckFailed(
            f"a training input has shape {tuple(train.shape)}, a validation input {tuple(validation.shape)}: make "
            "them alike",
            fatal=True,
        )
    if data.train_targets.shape[1:] != data.validation_targets.shape[1:]:
        raise CheckFailed("training and validation targets have other shapes: make them alike", fatal=True)
    inputs, targets = subject.few()
    for what, tensor in (("inputs", inputs), ("targets", targets)):
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise CheckFailed(f"training {what} contain NaN or infinite values: clean the data", fatal=True)
    return Passed(
        f"{len(data.train_inputs):,} training and {len(data.validation_inputs):,} validation examples of shape "
        f"{tuple(inputs.shape[1:])}"
    )


def _row(inputs: Any) -> Tensor | None:
    return inputs[torch.arange(1)][0] if len(inputs) else None


def _check_source(subject: TaskSubject) -> Passed:
    """What the data are is said, so that a stand-in never passes for the original."""
    source = subject.data.source
    if source.origin not in ("original", "generated", "stand-in"):
        raise CheckFailed(f"the origin {source.origin!r} is not one of original, generated, stand-in")
    for what, text in (("name", source.name), ("description", source.description)):
        if not text.strip():
            raise CheckFailed(f"the {what} of its DataSource is empty: say what the data are")
    if not re.fullmatch(r"[0-9a-f]{64}", source.digest):
        raise CheckFailed("the digest of its DataSource is not a hexadecimal SHA-256: take it over the arrays or files")
    return Passed(f"{source.name} ({source.origin})")


def _check_data_determinism(subject: TaskSubject) -> Passed:
    """Loading twice gives the same examples in the same order."""
    first, second = subject.data, subject.make().data(subject.directory)
    if first.source != second.source:
        raise CheckFailed("two loads describe their data differently: seed what is generated and sort what is read")
    if not _same(first, second):
        raise CheckFailed(
            "two loads give other examples, or another order: seed what is generated and sort what is read"
        )
    return Passed("two loads give the same examples in the same order")


def _same(first: Data, second: Data) -> bool:
    index = torch.arange(min(64, len(first.train_inputs)))
    pairs = [
        (first.train_inputs[index], second.train_inputs[index]),
        (first.train_targets, second.train_targets),
        (first.validation_targets, second.validation_targets),
    ]
    return len(first.train_inputs) == len(second.train_inputs) and all(torch.equal(a, b) for a, b in pairs)


def _check_augmentation(subject: TaskSubject) -> Passed:
    """Augmented batches follow from the generator that is passed, and nothing else."""
    augment = subject.data.augment
    if augment is None:
        raise CheckNotApplicable("its data are not augmented")
    inputs, _ = subject.few()
    state = torch.get_rng_state()
    first, second = (augment(inputs.clone(), epoch_generator(0, 1)) for _ in range(2))
    if not torch.equal(first, second) or not torch.equal(state, torch.get_rng_state()):
        raise CheckFailed("its augmentation draws from other generators than the one it is given: use that one alone")
    if len(first) != len(inputs):
        raise CheckFailed("its augmentation changes the number of examples: return one for each")
    return Passed("follows from the generator")


def _check_initialisation(subject: TaskSubject) -> Passed:
    """Initial weights follow from the seed, and from nothing else."""
    for what, build in subject.builders().items():
        first, again, other = (built(build, seed) for seed in (1, 1, 2))
        if not isinstance(first, nn.Module):
            raise CheckFailed(f"its {what} is {type(first).__name__}, not a torch.nn.Module: return one", fatal=True)
        if changed := differ(first.state_dict(), again.state_dict()):
            raise CheckFailed(
                f"two {what}s of one seed differ in {changed[0]}: draw initial weights from torch's global generator, "
                "anew at each call"
            )
        if not differ(first.state_dict(), other.state_dict()):
            raise CheckFailed(
                f"the {what}s of two seeds are the same: draw initial weights from torch's global generator"
            )
    return Passed("follows from the seed")


def _check_outputs(subject: TaskSubject) -> Passed:
    """The likelihood takes what the model returns: loss, samples and derivatives fit together."""
    likelihood = subject.single.likelihood
    inputs, targets = subject.few()
    model = built(subject.single.model, 0)
    outputs = model(inputs)
    if not isinstance(outputs, Tensor) or len(outputs) != len(inputs):
        raise CheckFailed(f"its model must return one tensor with a row for each example, not {type(outputs).__name__}")
    loss = likelihood.loss(outputs, targets)
    each = likelihood.per_example_loss(outputs, targets)
    if loss.ndim or each.shape != (len(inputs),) or not torch.allclose(loss, each.mean(), rtol=TOLERANCE, atol=1e-7):
        raise CheckFailed(
            "its loss is not the mean of per_example_loss(), one number for each example: the likelihood does not "
            "fit the shape of the outputs and targets"
        )
    if not loss.isfinite():
        raise CheckFailed(f"the loss of the initial model is {loss.item()}: check the range of inputs and targets")
    detached = outputs.detach()
    sample = likelihood.sample(detached, torch.Generator().manual_seed(0))
    if sample.shape != targets.shape or sample.is_floating_point() != targets.is_floating_point():
        raise CheckFailed(
            f"targets drawn from the likelihood have shape {tuple(sample.shape)} of {sample.dtype}, those of the data "
            f"{tuple(targets.shape)} of {targets.dtype}: choose the likelihood of these targets"
        )
    (expected,) = torch.autograd.grad(each.sum(), outputs)
    if not torch.allclose(likelihood.output_derivative(detached, targets), expected, rtol=1e-3, atol=1e-6):
        raise CheckFailed("output_derivative() of its likelihood is not the derivative of per_example_loss()")
    return Passed(f"outputs of shape {tuple(outputs.shape[1:])}, loss {loss.item():.3g}")


def _check_players(subject: TaskSubject) -> Passed:
    """The generator makes what the critic scores."""
    task = subject.task
    if not isinstance(task, AdversarialTask):
        raise CheckNotApplicable("it trains one model")
    images, _ = subject.few()
    made = built(task.generator, 0)(torch.zeros(len(images), task.noise))
    if made.shape != images.shape:
        raise CheckFailed(
            f"the generator makes {tuple(made.shape[1:])}, the data are {tuple(images.shape[1:])}: make them alike"
        )
    scores = built(task.critic, 0)(images)
    if scores.numel() != len(images):
        raise CheckFailed(f"the critic returns {tuple(scores.shape)}: return one score for each image")
    return Passed(f"images of shape {tuple(made.shape[1:])}")


def _check_gradients(subject: TaskSubject) -> Passed:
    """Every trained parameter has a finite gradient."""
    inputs, targets = subject.few()
    model = built(subject.single.model, 0)
    subject.single.likelihood.loss(model(inputs), targets).backward()  # type: ignore[no-untyped-call]
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    for name, parameter in trained:
        if parameter.grad is None:
            raise CheckFailed(f"{name} has no part in the loss: take it out of the model, or freeze it")
        if not parameter.grad.isfinite().all():
            raise CheckFailed(f"the gradient of {name} is not finite at the initial weights: change them")
    return Passed(f"{len(trained)} parameter tensors, {sum(p.numel() for _, p in trained):,} numbers")


def _check_metrics(subject: TaskSubject) -> Passed:
    metrics = subject.single.metrics
    if not metrics:
        raise CheckNotApplicable("it has none")
    inputs, targets = subject.few()
    model = built(subject.single.model, 0).eval()
    with torch.no_grad():
        outputs = model(inputs)
        for name, metric in metrics.items():
            value = torch.as_tensor(metric(outputs, targets))
            if value.numel() != 1 or not value.float().isfinite().all():
                raise CheckFailed(
                    f"metric {name!r} of the initial model is no finite number: return the mean over the batch"
                )
    return Passed(", ".join(metrics))


TASK_CHECKS: tuple[Check[TaskSubject], ...] = (
    Check("signature", "be imported and show its options", _check_signature),
    Check("task", "return an ngbench.Task", _check_task),
    Check("hyperparameters", "publish values that its optimizers allow", check_hyperparameters),
    Check("grids", "search values that its optimizers allow", check_grids),
    Check("initialisation", "build a model whose weights follow from the seed", _check_initialisation),
    Check("data", "load data that fit together", _check_data),
    Check("source", "say what its data are", _check_source),
    Check("data-determinism", "load the same data in the same order", _check_data_determinism),
    Check("augmentation", "augment batches by the given generator", _check_augmentation),
    Check("batch-sizes", "have batches that its data can fill", check_batch_sizes),
    Check("outputs", "have a likelihood that takes the outputs and targets", _check_outputs),
    Check("gradients", "give every parameter a gradient", _check_gradients),
    Check("metrics", "return numbers as metrics", _check_metrics),
    Check("players", "have a critic that scores what the generator makes", _check_players),
)
