"""Watching backward passes for the derivatives at outputs of layers whose weights are not in the graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.autograd.graph import Node

from ngbench.curvature.layers import Layer

__all__ = ["Watch", "ends_at", "suspend"]

# Operations between two layers, such as a normalisation, an activation and a pooling.
_LOOK_BACK = 4


def suspend(layer: Layer) -> list[Tensor]:
    """Keep the parameters of a layer out of the graph, until those that are returned require gradients again.

    None of them, if any is not trained at the time.
    """
    for parameter in layer.parameters:
        if not parameter.requires_grad:
            return []
    for parameter in layer.parameters:
        parameter.requires_grad_(False)
    return layer.parameters


class _Watched(torch.autograd.Function):
    """The identity, in place, that tells of its derivative."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, keep: Callable[[Tensor | None], None], *parameters: Tensor) -> Tensor:
        ctx.keep = keep
        ctx.set_materialize_grads(False)
        ctx.mark_dirty(output)
        return output

    @staticmethod
    def backward(ctx: Any, *derivatives: Any) -> tuple[Any, ...]:
        ctx.keep(derivatives[0])
        return derivatives[0], *[None] * (len(ctx.needs_input_grad) - 1)


class Watch:
    """Has backward passes tell of the derivatives at outputs of layers whose parameters were kept out of the graph.

    A backward pass that names parameters (``inputs=``) goes only where the graph leads to them, and a layer that
    nothing trained precedes has no derivative at all. So the graph gets edges to the parameters, though nothing flows
    along them: to those of all layers, from each output before which no other watched one is found.

    Args:
        parameters: of all layers that may be watched.
    """

    NODE: ClassVar[str] = f"{_Watched.__name__}Backward"

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self._parameters = parameters
        self._nodes: set[Node | None] = set()
        self._leaves: dict[int, Node] = {}

    def add(self, inputs: Tensor, output: Tensor, parameter: Tensor, keep: Callable[[Tensor | None], None]) -> None:
        """Have ``keep`` called with the derivative at ``output``, if any, by passes that end at ``parameter``.

        It happens in place, for an output that is a view refuses activations that work in place. A pass of which
        derivatives are to be taken (``create_graph=True``) calls it wherever it ends.

        Args:
            inputs: of the layer.
            output: of the layer, not a view.
        """
        node, index = output.grad_fn, output.output_nr

        def tell(derivative: Tensor | None) -> None:
            if torch.is_grad_enabled() or ends_at(leaf):
                keep(derivative)

        # A hook takes a fraction of the time of a function that is written in Python.
        if node is not None and self._follows(inputs):
            node.register_prehook(lambda derivatives: tell(derivatives[index]))
        else:
            _Watched.apply(output, tell, *self._parameters)  # type: ignore[no-untyped-call]
            node = output.grad_fn
            edges = () if node is None else node.next_functions[1:]
            self._leaves = {
                id(p): leaf for p, (leaf, _) in zip(self._parameters, edges, strict=True) if leaf is not None
            }
        self._nodes.add(node)
        leaf = self._leaves[id(parameter)]

    def _follows(self, inputs: Tensor) -> bool:
        """Whether a watched output was seen on the way to ``inputs``."""
        node = inputs.grad_fn
        for _ in range(_LOOK_BACK):
            if node is None or node in self._nodes:
                break
            node = node.next_functions[0][0] if node.next_functions else None
        return node is not None and node in self._nodes

    def clear(self) -> None:
        """Forget one forward pass before the next, or the graph outlives its tensors."""
        self._nodes.clear()
        self._leaves.clear()


def ends_at(leaf: Node) -> bool:
    """Whether the backward pass that is running adds to the ``grad`` of a leaf's parameter."""
    try:
        # How torch's own hooks on several gradients know.
        ends: bool = torch._C._will_engine_execute_node(leaf)
    except RuntimeError:
        # torch.autograd.grad with respect to the parameter, which adds to no ``grad``.
        return False
    return ends
