"""A schedule as a policy: the run gives its length, and lengths within it may be counted in epochs."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from inspect import Parameter, Signature
from typing import Any

from losslab.policies.horizon import Horizon
from losslab.schedules import Schedule

IN_STEPS: dict[str, Callable[[Horizon, float], float]] = {
    "warmup_steps": Horizon.step_at,
    "half_cycle_steps": Horizon.mean_steps,
}
"""Option of a schedule -> how its length in epochs is turned into steps; cycles must all have equally many."""


@dataclass(frozen=True)
class Filled:
    """The policy of a schedule, whose `steps` are those of the run.

    Attributes:
        schedule: a function of :mod:`losslab.schedules`.
    """

    schedule: Callable[..., Schedule]

    def __call__(self, horizon: Horizon, **options: Any) -> Schedule:
        """The schedule over a run."""
        arguments = dict(options)
        # What is given in epochs becomes the option in steps that the schedule has.
        for in_steps, steps_of in IN_STEPS.items():
            in_epochs = _in_epochs(in_steps)
            epochs = arguments.pop(in_epochs, None)
            if epochs is None:
                continue
            if arguments.get(in_steps) is not None:
                raise ValueError(
                    f"give `{in_epochs}` (={epochs}) or `{in_steps}` (={arguments[in_steps]}), not both"
                )
            arguments[in_steps] = steps_of(horizon, epochs)
        if "steps" in inspect.signature(self.schedule).parameters:
            arguments["steps"] = horizon.total_steps
        return self.schedule(**arguments)

    @property
    def __signature__(self) -> Signature:
        """The options: the schedule's parameters but `steps`, and beside one in steps its like in epochs."""
        parameters = [Parameter("horizon", Parameter.POSITIONAL_ONLY)]
        for parameter in inspect.signature(self.schedule).parameters.values():
            if parameter.name == "steps":
                continue
            parameters.append(parameter)
            # Annotated as a float: whole steps may be half an epoch.
            if parameter.name in IN_STEPS:
                parameters.append(
                    parameter.replace(name=_in_epochs(parameter.name), annotation=float)
                )
        return Signature(parameters)


def _in_epochs(in_steps: str) -> str:
    return in_steps.removesuffix("steps") + "epochs"
