"""The checks of approximations of a Fisher block, in the order in which they are shown."""

from __future__ import annotations

import time
from functools import partial
from statistics import median

import torch
from torch import Tensor

from ngbench.curvature.blocks.block import FisherBlock
from ngbench.curvature.inverses.damping import Damping
from ngbench.curvature.kronecker.approximations import kfac
from ngbench.curvature.kronecker.estimate import ApproximateBlock, Estimate
from ngbench.curvature.kronecker.sums import KroneckerSum
from ngbench.curvature.linalg.packing import unpack
from ngbench.errors import NgbenchError, one_line
from ngbench.experiments.conformance.convergence import GOALS, Goal, check_convergence
from ngbench.experiments.conformance.degenerate import check_degenerate_input, check_nan_input
from ngbench.experiments.conformance.outcome import Check, CheckFailed, CheckNotApplicable, Passed
from ngbench.experiments.conformance.sample_blocks import (
    KINDS,
    ApproximationSubject,
    is_finite,
    make_block,
    relative_error,
)
from ngbench.experiments.conformance.signature import check_signature
from ngbench.experiments.conformance.state import check_state_dict

__all__ = ["APPROXIMATION_CHECKS"]

TOLERANCE = 1e-6
ROUNDS = 15


def _check_signature(subject: ApproximationSubject) -> Passed:
    try:
        plugin = subject.plugin
        subject.approximate  # noqa: B018 - whether the given options are allowed
    except NgbenchError as error:
        raise CheckFailed(one_line(error), fatal=True) from error
    return check_signature(plugin.build, plugin.parameters, accepts_any=plugin.accepts_any)


def _check_estimate(subject: ApproximationSubject) -> Passed:
    """An approximate block of the right shape, finite."""
    for kind in KINDS:
        block = make_block(kind)
        estimate = subject(block)
        if not isinstance(estimate, Estimate) or not isinstance(estimate.value, ApproximateBlock):
            raise CheckFailed(
                f"it returned {type(estimate).__name__}: return Estimate(KroneckerSum(...)), or an Estimate of another"
                " ApproximateBlock",
                fatal=True,
            )
        if isinstance(estimate.value, KroneckerSum):
            _check_shapes(kind, block, estimate.value)
        elif not estimate.value.fits(block.d_out, block.d_in):
            raise CheckFailed(
                f"for a {kind} layer the block has the shape {estimate.value.shape}, it must be (d_out, d_in) ="
                f" {(block.d_out, block.d_in)}",
                fatal=True,
            )
        if not is_finite(estimate.value):
            raise CheckFailed(f"a factor of a {kind} layer is not finite", fatal=True)
    return Passed(f"{', '.join(KINDS)}")


def _check_shapes(kind: str, block: FisherBlock, value: KroneckerSum) -> None:
    if not value.terms:
        raise CheckFailed("it returned no Kronecker product: KroneckerSum needs at least one", fatal=True)
    for a, g in value.terms:
        shapes = (tuple(a.shape), tuple(g.shape))
        expected = ((block.d_in, block.d_in), (block.d_out, block.d_out))
        if shapes != expected:
            raise CheckFailed(
                f"for a {kind} layer the factors have shapes {shapes}, they must be (A, G) of {expected}", fatal=True
            )


def _check_symmetry(subject: ApproximationSubject) -> Passed:
    for kind in KINDS:
        value = subject(make_block(kind)).value
        if not isinstance(value, KroneckerSum):
            if _apart(value.dense()) > TOLERANCE:
                raise CheckFailed(f"the block of a {kind} layer is not symmetric: ⟨x, F̂ y⟩ must be ⟨F̂ x, y⟩")
            continue
        for at, term in enumerate(value.terms, 1):
            for name, factor in zip("AG", term, strict=True):
                if _apart(factor) > TOLERANCE:
                    raise CheckFailed(
                        f"factor {name} of product {at} of a {kind} layer is not symmetric: return (X + X.T) / 2"
                    )
    return Passed("all blocks")


def _apart(matrix: Tensor) -> float:
    """How far a matrix is from its transpose, relative to itself."""
    norm = float(matrix.norm())
    return float((matrix - matrix.T).norm()) / norm if norm else 0.0


def _check_semi_definite(subject: ApproximationSubject) -> Passed:
    for kind in KINDS:
        value = subject(make_block(kind)).value
        if not isinstance(value, KroneckerSum):
            if (least := _least_eigenvalue(value.dense())) < -TOLERANCE:
                raise CheckFailed(f"the block of a {kind} layer has an eigenvalue of {least:.3g} times its largest")
            continue
        for name, factor in zip("AG", value.terms[0], strict=True):
            if (least := _least_eigenvalue(factor)) < -TOLERANCE:
                raise CheckFailed(
                    f"factor {name} of the first product of a {kind} layer has an eigenvalue of {least:.3g} times its"
                    " largest: damping needs it positive semi-definite; choose the signs so that both are"
                )
    return Passed("all blocks, or their first products")


def _least_eigenvalue(matrix: Tensor) -> float:
    """Relative to the largest in size."""
    values = torch.linalg.eigvalsh((matrix + matrix.T) / 2)
    return float(values[0] / values.abs().max()) if values.any() else 0.0


def _check_inverse(subject: ApproximationSubject) -> Passed:
    """Averages have damped inverses that lower the loss along any gradient, and that a checkpoint keeps."""
    for kind in KINDS:
        first, second = (subject(make_block(kind, seed=seed)).value for seed in (0, 1))
        average = first.averaged(second, 0.5)
        generator = torch.Generator().manual_seed(0)
        gradients = torch.randn(8, *average.shape, dtype=torch.float64, generator=generator).to(average.dtype)
        for damping in (Damping(0.1), Damping(0.1, "normal")):
            inverse = average.inverse(damping)
            steps = [inverse.times(gradient) for gradient in gradients]
            if inverse.info or any(not torch.sum(g * x) > 0 for g, x in zip(gradients, steps, strict=True)):
                raise CheckFailed(
                    f"the inverse of the block of a {kind} layer under {damping.kind} damping is not positive definite:"
                    " steps along it need not lower the loss"
                )
            again = unpack(inverse.pack(), torch.clone)
            if not all(torch.equal(again.times(g), x) for g, x in zip(gradients, steps, strict=True)):
                raise CheckFailed(f"the inverse of the block of a {kind} layer is another one after pack and unpack")
    return Passed("factored and normal damping")


def _check_dense_error(subject: ApproximationSubject) -> Passed:
    """Not worse than both nothing and KFAC; the errors are shown."""
    told: list[str] = []
    values: dict[str, float] = {}
    for kind in KINDS:
        block = make_block(kind)
        error, of_kfac = (relative_error(block, f(block).value) for f in (subject, kfac))
        if error > max(1.0, of_kfac) * (1 + TOLERANCE):
            raise CheckFailed(
                f"‖F − F̂‖/‖F‖ of a {kind} layer is {error:.3g}, KFAC's is {of_kfac:.3g}: an error over 1 is worse "
                "than F̂ = 0; compare with block.dense()"
            )
        told.append(f"{kind} {error:.3g} (KFAC {of_kfac:.3g})")
        values |= {f"error/{kind}": error, f"error_kfac/{kind}": of_kfac}
    return Passed(", ".join(told), values)


def _check_rank(subject: ApproximationSubject) -> Passed:
    """As many products for every batch: running averages are taken product by product."""
    values = [subject(make_block(kind, seed=seed, examples=m)).value for kind in KINDS for seed, m in ((0, 24), (1, 3))]
    ranks = {len(value.terms) for value in values if isinstance(value, KroneckerSum)}
    if not ranks:
        raise CheckNotApplicable("it returns no Kronecker products")
    if len(ranks) > 1:
        raise CheckFailed(
            f"the number of products changes from batch to batch ({', '.join(map(str, sorted(ranks)))}): fill up with"
            " products of zeros, since averages are taken product by product"
        )
    (rank,) = ranks
    return Passed(f"{rank} product{'s' if rank > 1 else ''}", {"rank": float(rank)})


def _check_determinism(subject: ApproximationSubject) -> Passed:
    for kind in KINDS:
        block, untouched = make_block(kind), make_block(kind)
        first, second = subject(block).value, subject(block).value
        if not all(torch.equal(x, y) for x, y in zip(first.tensors(), second.tensors(), strict=True)):
            raise CheckFailed(f"two estimates of one block of a {kind} layer differ: seed a generator of its own")
        if not torch.equal(block.dense(), untouched.dense()):
            raise CheckFailed(f"it changed the statistics of the block of a {kind} layer: work on copies")
    return Passed("two estimates bit for bit")


def _check_warm_start(subject: ApproximationSubject) -> Passed:
    """The start that it asked for does no harm on the next batch."""
    used = False
    for kind in KINDS:
        start = subject(make_block(kind, seed=1)).start
        used |= start is not None
        block = make_block(kind)
        cold, warm = (relative_error(block, subject(block, previous).value) for previous in (None, start))
        if warm > cold * 1.01 + TOLERANCE:
            raise CheckFailed(
                f"started from the previous batch's products the error of a {kind} layer is {warm:.3g}, without "
                f"{cold:.3g}: iterate until it converges from any start, or leave Estimate.start None"
            )
    if not used:
        raise CheckNotApplicable("it asks for no start")
    return Passed("as good as a cold one")


def _check_dtype(subject: ApproximationSubject) -> Passed:
    for dtype in (torch.float32, torch.float64):
        for kind in KINDS:
            for tensor in subject(make_block(kind, dtype=dtype)).value.tensors():
                if tensor.is_floating_point() and tensor.dtype != dtype:
                    raise CheckFailed(
                        f"a block of {dtype} gave a factor of {tensor.dtype}: make tensors like block.like"
                    )
    return Passed("float32 and float64")


def _check_device(subject: ApproximationSubject) -> Passed:
    if not torch.cuda.is_available():
        raise CheckNotApplicable("there is no CUDA device here")
    device = torch.device("cuda", torch.cuda.current_device())
    for kind in KINDS:
        for tensor in subject(make_block(kind, device=device)).value.tensors():
            if tensor.device != device:
                raise CheckFailed(f"a block on {device} gave a factor on another device: make tensors like block.like")
    return Passed(str(device))


def _check_state_dict(subject: ApproximationSubject) -> Passed:
    return check_state_dict(subject.optimizer)


def _check_time(subject: ApproximationSubject) -> Passed:
    block = make_block("linear", examples=256)
    taken = {"own": [0.0], "kfac": [0.0]}
    for _ in range(ROUNDS):
        for name, function in (("own", subject), ("kfac", kfac)):
            start = time.perf_counter()
            function(block)
            taken[name].append(time.perf_counter() - start)
    own, of_kfac = (median(seconds[2:]) for seconds in taken.values())
    return Passed(f"{own / of_kfac:.3g} of KFAC's on a small linear layer", {"ratio_kfac": own / of_kfac})


def _check_convergence(subject: ApproximationSubject, goal: Goal) -> Passed:
    return check_convergence(subject.optimizer, goal)


APPROXIMATION_CHECKS: tuple[Check[ApproximationSubject], ...] = (
    Check("signature", "be imported and show its options", _check_signature),
    Check("estimate", "give an approximation of any block", _check_estimate),
    Check("symmetry", "be symmetric", _check_symmetry),
    Check("semi-definite", "be positive semi-definite", _check_semi_definite),
    Check("inverse", "have an inverse that lowers the loss", _check_inverse, ("semi-definite",)),
    Check("dense-error", "be closer to the Fisher block than nothing", _check_dense_error),
    Check("rank", "give the same number of products for every batch", _check_rank),
    Check("determinism", "give the same estimate twice", _check_determinism),
    Check("warm-start", "start from its last estimate", _check_warm_start),
    Check("dtype", "keep the type of the block", _check_dtype),
    Check("device", "keep the device of the block", _check_device),
    Check("degenerate-input", "take any batch", check_degenerate_input),
    Check("nan-input", "not hide NaN in a batch", check_nan_input),
    Check(
        "state-dict",
        "let an optimizer continue from its state_dict()",
        _check_state_dict,
        ("determinism", "semi-definite"),
    ),
    Check("time", "give estimates", _check_time),
    *(
        Check(
            name,
            "lower the loss as the curvature of a natural gradient",
            partial(_check_convergence, goal=goal),
            ("semi-definite",),
        )
        for name, goal in GOALS.items()
    ),
)
