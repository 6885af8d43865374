"""A torch optimizer whose rule is element-wise, for rules that torch has no fused step of."""

from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import torch

from losslab.optimizers._blocks import Numbers, Operands, Rule, Slots, Tensors, update_in_blocks


class BlockStep(torch.optim.Optimizer):
    """Steps by a rule whose operations are element-wise, so that any part of the parameters can be updated by itself.

    State has the names of torch's optimizers, so that checkpoints of these go on.
    """

    slots: ClassVar[tuple[str, ...]]
    """State of the shape of the parameter that the rule keeps."""
    scalars: ClassVar[tuple[str, ...]]
    """Options of a group that the rule takes as they are."""
    counters: ClassVar[dict[str, float]] = {"step": 0.0}
    """State of one number for each parameter, and its start."""
    update: Callable[[Rule, Operands], None] = staticmethod(update_in_blocks)
    """How the rule is applied; of the class, because copies of a torch optimizer keep no attributes of their own."""

    def __init__(self, params: Iterable[dict[str, Any]], *, lr: float, **options: Any) -> None:
        if not lr >= 0:
            raise ValueError(f"`lr` (={lr}) must be at least 0")
        super().__init__(params, {"lr": lr, "weight_decay": 0.0, **options})

    @staticmethod
    @abstractmethod
    def rule(weights: Tensors, gradients: Tensors, slots: Slots, numbers: Numbers) -> None:
        """Update weights and slots in place; L2 is in the gradients already.

        Operations are torch's on lists (``torch._foreach_*``): each of them is that of single tensors, at a fraction of
        its overhead.
        """

    def slot_names(self, group: dict[str, Any]) -> tuple[str, ...]:  # noqa: ARG002 - for rules whose options need more
        """The state that a group's options need."""
        return self.slots

    def numbers(self, group: dict[str, Any], states: list[dict[str, Any]]) -> list[Numbers]:
        """Count the step and return the rule's scalars for each parameter."""
        if "step" in self.counters:
            count([state["step"] for state in states])
        # The same object for all, by which `blocks` knows that they can be updated together.
        return [self.options(group)] * len(states)

    def options(self, group: dict[str, Any]) -> Numbers:
        """The rule's scalars that a group names."""
        numbers = {name: group[name] for name in self.scalars}
        # Absent where it is 0: adding 0 times the weights would read and write all of them.
        if group["weight_decay"]:
            numbers["weight_decay"] = group["weight_decay"]
        return numbers

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters that have a gradient.

        Args:
            closure: computes the loss again and returns it, as torch's optimizers take it.
        Returns:
            What the closure returned, or None.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            operands = self.operands(group)
            if operands.weights:
                self.update(self.rule, operands)
        return loss

    def operands(self, group: dict[str, Any]) -> Operands:
        """The parameters of a group that have a gradient, with their state at this step."""
        names = self.slot_names(group)
        weights = [parameter for parameter in group["params"] if parameter.grad is not None]
        gradients = [as_real(parameter.grad) for parameter in weights]
        states = [self._state(parameter, names) for parameter in weights]
        slots: Slots = {}
        for name in names:
            slots[name] = [as_real(state[name]) for state in states]
        numbers = self.numbers(group, states) if states else []
        return Operands(list(map(as_real, weights)), gradients, slots, numbers)

    def _state(
        self, parameter: torch.Tensor, names: tuple[str, ...]
    ) -> dict[str, torch.Tensor]:
        """The parameter's state, created on first use."""
        state: dict[str, torch.Tensor] = self.state[parameter]
        if not state:
            # On the CPU wherever the weights are: rules read counters as Python numbers, and a GPU would be waited for.
            for name, start in self.counters.items():
                state[name] = torch.tensor(start, dtype=_counter_dtype(), device="cpu")
            for name in names:
                state[name] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        return state


def as_real(tensor: torch.Tensor) -> torch.Tensor:
    """Real and imaginary part as numbers of their own, as torch's optimizers take complex weights."""
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


def count(steps: Tensors) -> None:
    """Add 1 to each, in place."""
    # A number would be made a tensor again for each of them, which takes three times as long as adding.
    torch._foreach_add_(steps, torch.tensor(1.0), alpha=1)


def _counter_dtype() -> torch.dtype:
    """The type in which torch's optimizers count: float32, unless float64 is the default."""
    return torch.float64 if torch.get_default_dtype() == torch.float64 else torch.float32
