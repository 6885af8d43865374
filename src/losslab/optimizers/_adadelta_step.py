"""AdaDelta in torch's order of operations."""

from typing import ClassVar

import torch

from losslab.optimizers._block_step import BlockStep
from losslab.optimizers._blocks import Numbers, Slots, Tensors


class AdaDeltaStep(BlockStep):
    """Scales the gradient by the root of the average squared update over that of the average squared gradient."""

    slots: ClassVar[tuple[str, ...]] = ("square_avg", "acc_delta")
    scalars: ClassVar[tuple[str, ...]] = ("lr", "rho", "eps")

    @staticmethod
    def rule(weights: Tensors, gradients: Tensors, slots: Slots, numbers: Numbers) -> None:
        """Do one step in place; the average of squared updates is read before it is renewed, as in the paper."""
        rho, eps, squares, updates = (
            numbers["rho"],
            numbers["eps"],
            slots["square_avg"],
            slots["acc_delta"],
        )
        torch._foreach_mul_(squares, rho)
        torch._foreach_addcmul_(squares, gradients, gradients, value=1 - rho)
        roots = torch._foreach_add(squares, eps)
        torch._foreach_sqrt_(roots)
        deltas = torch._foreach_add(updates, eps)
        torch._foreach_sqrt_(deltas)
        torch._foreach_div_(deltas, roots)
        torch._foreach_mul_(deltas, gradients)
        # After `deltas` has read it: the paper's numerator is the average of the step before.
        torch._foreach_mul_(updates, rho)
        torch._foreach_addcmul_(updates, deltas, deltas, value=1 - rho)
        torch._foreach_add_(weights, deltas, alpha=-numbers["lr"])
