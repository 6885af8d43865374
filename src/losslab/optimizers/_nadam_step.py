"""NAdam in torch's order of operations."""

from typing import Any, ClassVar

import torch

from losslab.optimizers._block_step import BlockStep, count
from losslab.optimizers._blocks import Numbers, Slots, Tensors, lerp_


class NAdamStep(BlockStep):
    """Adam with the next step's momentum applied already; momentum rises by the paper's schedule."""

    slots: ClassVar[tuple[str, ...]] = ("exp_avg", "exp_avg_sq")
    scalars: ClassVar[tuple[str, ...]] = ("eps",)
    counters: ClassVar[dict[str, float]] = {"step": 0.0, "mu_product": 1.0}

    def numbers(self, group: dict[str, Any], states: list[dict[str, Any]]) -> list[Numbers]:
        """Count the step and multiply its momentum onto the product of all; parameters of one age share numbers."""
        count([state["step"] for state in states])
        steps = [state["step"].item() for state in states]
        # Parameters may differ in age: one that is frozen at first, or has no gradient in some steps, counts fewer.
        for step in set(steps):
            of_this_age = [
                state["mu_product"]
                for state, age in zip(states, steps, strict=True)
                if age == step
            ]
            torch._foreach_mul_(of_this_age, _momentum(group, step))
        products = [state["mu_product"].item() for state in states]
        ages = list(zip(steps, products, strict=True))
        numbers = {age: self._at(group, *age) for age in set(ages)}
        return [numbers[age] for age in ages]

    def _at(self, group: dict[str, Any], step: float, product: float) -> Numbers:
        momentum, next_momentum = _momentum(group, step), _momentum(group, step + 1)
        decay, square_decay = group["betas"]
        return self.options(group) | {
            "decay": decay,
            "square_decay": square_decay,
            "correction": 1 - square_decay**step,
            "gradient_lr": group["lr"] * (1.0 - momentum) / (1.0 - product),
            "average_lr": group["lr"] * next_momentum / (1.0 - product * next_momentum),
        }

    @staticmethod
    def rule(weights: Tensors, gradients: Tensors, slots: Slots, numbers: Numbers) -> None:
        """Do one step in place; the two terms of the corrected average are subtracted in turn."""
        averages, squares, square_decay = (
            slots["exp_avg"],
            slots["exp_avg_sq"],
            numbers["square_decay"],
        )
        lerp_(averages, gradients, 1 - numbers["decay"])
        torch._foreach_mul_(squares, square_decay)
        torch._foreach_addcmul_(squares, gradients, gradients, value=1 - square_decay)
        roots = torch._foreach_div(squares, numbers["correction"])
        torch._foreach_sqrt_(roots)
        torch._foreach_add_(roots, numbers["eps"])
        # In two subtractions and not one of their sum, as torch does: the bits are the same.
        torch._foreach_addcdiv_(weights, gradients, roots, value=-numbers["gradient_lr"])
        torch._foreach_addcdiv_(weights, averages, roots, value=-numbers["average_lr"])


def _momentum(group: dict[str, Any], step: float) -> float:
    """The momentum of a step; it rises to its final value."""
    # 0.96 and the half are Dozat's constants; `momentum_decay` is his 1/250.
    final, rise = float(group["betas"][0]), float(group["momentum_decay"])
    momentum: float = final * (1.0 - 0.5 * 0.96 ** (step * rise))
    return momentum
