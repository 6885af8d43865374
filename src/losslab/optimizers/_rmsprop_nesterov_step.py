"""Algorithm 8.6 with the look-ahead carried in the parameters."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import torch

from losslab.optimizers._block_step import BlockStep
from losslab.optimizers._blocks import Numbers, Slots, Tensors


class RMSPropNesterovStep(BlockStep):
    r"""Updates parameters that hold the look-ahead point :math:`\theta + s`, where :math:`s = \alpha u`.

    .. math::
        r \leftarrow \rho r + (1 - \rho) g^2, \quad
        u = s - \eta g / (\sqrt{r} + \epsilon), \quad
        \theta + s \leftarrow (\theta + s) - \eta g / (\sqrt{r} + \epsilon) + \alpha u, \quad
        s \leftarrow \alpha u

    The middle sum without its last term is the new iterate, because theta + u = (theta + s) - (s - u).
    Keeping s and not u makes theta known even when ``lr`` or ``momentum`` of a group changes between steps.
    """

    slots: ClassVar[tuple[str, ...]] = ("square_avg", "look_ahead")
    scalars: ClassVar[tuple[str, ...]] = ("lr", "rho", "eps", "momentum")
    counters: ClassVar[dict[str, float]] = {}

    @staticmethod
    def rule(weights: Tensors, gradients: Tensors, slots: Slots, numbers: Numbers) -> None:
        """Do one step in place; the gradient is that at the look-ahead point, with L2's."""
        rho, squares, shifts = numbers["rho"], slots["square_avg"], slots["look_ahead"]
        torch._foreach_mul_(squares, rho)
        torch._foreach_addcmul_(squares, gradients, gradients, value=1 - rho)
        roots = torch._foreach_sqrt(squares)
        torch._foreach_add_(roots, numbers["eps"])
        # Now the iterate theta.
        torch._foreach_addcdiv_(weights, gradients, roots, value=-numbers["lr"])
        # Now the velocity u.
        torch._foreach_addcdiv_(shifts, gradients, roots, value=-numbers["lr"])
        torch._foreach_mul_(shifts, numbers["momentum"])
        torch._foreach_add_(weights, shifts)  # now the next look-ahead point

    @contextmanager
    def at_iterate(self) -> Iterator[None]:
        """Put the iterate theta into the parameters within the context; after it, the look-ahead point, bit for bit.

        For evaluation and for saving finished weights; a step taken inside would be lost.
        """
        # A copy, since subtracting and adding the shift again would round.
        kept = {parameter: parameter.detach().clone() for parameter in self.state}
        with torch.no_grad():
            for parameter, state in self.state.items():
                parameter.sub_(state["look_ahead"])
        try:
            yield
        finally:
            with torch.no_grad():
                for parameter, ahead in kept.items():
                    parameter.copy_(ahead)
