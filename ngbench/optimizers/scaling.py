"""The scale that a ``torch.amp.GradScaler`` gives a loss, as an optimizer sees it.

Where the optimizer's ``_step_supports_amp_scaling`` is true, the scaler calls ``step`` with its scale and what it found
in the attributes ``grad_scale`` and ``found_inf``, instead of dividing the gradients and calling ``step`` or not.
"""

from __future__ import annotations

from torch.optim import Optimizer

from ngbench.curvature.capture import Capture

__all__ = ["forget_scale", "undo_scale"]


def undo_scale(optimizer: Optimizer, capture: Capture, *, empirical: bool) -> bool:
    """Divide the scale out of the gradients and, by way of ``capture``, out of the curvature.

    Args:
        optimizer: that a scaler may have told of its scale.
        capture: what recorded the batch.
        empirical: whether the curvature is made of derivatives of the loss.

    Returns:
        Whether gradients are not finite, so that there must be no step.

    Raises:
        RuntimeError: the scale is not known, or gradients are deferred.
    """
    found = getattr(optimizer, "found_inf", None)
    if found is None:
        return False
    scale = getattr(optimizer, "grad_scale", None)
    if capture.holds_gradients:
        raise RuntimeError(
            "a gradient scaler cannot look at gradients that are deferred: call form_gradients() before its step(),"
            " or set defer_gradients=False"
        )
    if scale is None and empirical and capture.due:
        raise RuntimeError(
            "the empirical Fisher matrix needs the scale of the loss, which the gradient scaler's unscale_() does not"
            " leave: call its step() alone, or set fisher='sampled'"
        )
    if found:
        return True
    if scale is not None:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad.div_(scale)
        capture.loss_scale = float(scale)
    return False


def forget_scale(optimizer: Optimizer) -> None:
    """After a step that raised: a scaler takes back what it told after others, and multiplies it with what it finds."""
    for told in ("grad_scale", "found_inf"):
        vars(optimizer).pop(told, None)
