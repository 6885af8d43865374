"""RMSProp, plain, centred or with heavy-ball momentum, in torch's order of operations."""

from typing import Any, ClassVar

import torch

from losslab.optimizers._block_step import BlockStep
from losslab.optimizers._blocks import Numbers, Slots, Tensors, lerp_


class RMSPropStep(BlockStep):
    r"""Divides the gradient by the root of the moving average v of its square.

    Centred, the square of the average gradient is taken from v. With momentum the quotients accumulate in a buffer
    :math:`b \leftarrow \mu b + g / (\sqrt{v} + \epsilon)`, and the weights move by :math:`-\eta b`.
    """

    slots: ClassVar[tuple[str, ...]] = ("square_avg",)
    scalars: ClassVar[tuple[str, ...]] = ("lr", "rho", "eps", "momentum")

    def slot_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        """A group without momentum or centring keeps no state for it."""
        buffer = ("momentum_buffer",) if group["momentum"] else ()
        mean = ("grad_avg",) if group["centered"] else ()
        return self.slots + buffer + mean

    @staticmethod
    def rule(weights: Tensors, gradients: Tensors, slots: Slots, numbers: Numbers) -> None:
        """Do one step in place."""
        lr, rho, squares = numbers["lr"], numbers["rho"], slots["square_avg"]
        torch._foreach_mul_(squares, rho)
        torch._foreach_addcmul_(squares, gradients, gradients, value=1 - rho)
        if "grad_avg" in slots:
            means = slots["grad_avg"]
            lerp_(means, gradients, 1 - rho)
            # The mean of squares less the square of the mean: the variance of the gradient.
            roots = torch._foreach_addcmul(squares, means, means, value=-1)
            torch._foreach_sqrt_(roots)
        else:
            roots = torch._foreach_sqrt(squares)
        torch._foreach_add_(roots, numbers["eps"])
        if "momentum_buffer" in slots:
            buffers = slots["momentum_buffer"]
            torch._foreach_mul_(buffers, numbers["momentum"])
            torch._foreach_addcdiv_(buffers, gradients, roots)
            torch._foreach_add_(weights, buffers, alpha=-lr)
        else:
            torch._foreach_addcdiv_(weights, gradients, roots, value=-lr)
