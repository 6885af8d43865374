"""What a study would take in another precision: one more measurement of its longest run, where that may be faster."""

from dataclasses import dataclass

from losslab.errors import InvalidInput
from losslab.machine.process import multiplies_fast
from losslab.spec import Precision, Run
from losslab.study.costs import MARGIN, run_seconds
from losslab.study.engines import Engine
from losslab.study.measure import measure_costs
from losslab.study.plan import Plan


@dataclass(frozen=True)
class Pace:
    """The predicted seconds of a run in its own precision and in another.

    Attributes:
        run: the longest of a plan.
        seconds: in the precision that it has.
        precision: the other.
        other_seconds: in that one.
    """

    run: Run
    seconds: float
    precision: Precision
    other_seconds: float

    def text(self) -> str:
        """The comparison in words."""
        factor = self.seconds / self.other_seconds
        measured = f"{self.run.model} trains {factor:.2f} times as fast in {self.precision}"
        if factor < 1 + MARGIN:
            return f"{measured}, which saves nothing"
        return f'{measured}: set `precision = "{self.precision}"`'


def other_pace(planned: Plan, engine: Engine) -> Pace | None:
    """Measure a plan's longest run in bf16, where it is in fp32 and its device multiplies in bf16.

    Args:
        planned: with the costs of its own precisions.
        engine: where these were measured.
    Returns:
        None where nothing is to be compared.
    """
    # A study that has both already says what each takes.
    precisions = {run.precision for run in planned.runs}
    if precisions != {"fp32"} or not _multiplies_bf16(engine):
        return None
    longest = max(planned.runs, key=lambda run: run_seconds(run, planned.costs))
    other = longest.model_copy(update={"precision": "bf16"})
    # As many at a time as the study trains, since its own costs were measured with all workers busy.
    try:
        costs, _ = measure_costs(
            [other] * planned.workers,
            workers=planned.workers,
            threads=planned.threads,
            engine=engine,
            compile_step=planned.compile_step,
        )
    except InvalidInput:
        return None  # a network that cannot be trained in it is planned all the same
    seconds = run_seconds(longest, planned.costs)
    return Pace(longest, seconds, "bf16", run_seconds(other, costs))


def emulated(planned: Plan, engine: Engine) -> list[Precision]:
    """The precisions of a plan's runs that this machine's processor only emulates, which takes longer than fp32."""
    if engine.name != "local" or engine.device != "cpu":
        return []
    precisions = sorted({run.precision for run in planned.runs})
    return [precision for precision in precisions if not multiplies_fast(precision)]


def _multiplies_bf16(engine: Engine) -> bool:
    if engine.name != "local":
        return False  # the cluster's machines may differ
    if all(device == "cpu" for device in engine.devices):
        return multiplies_fast("bf16")
    import torch

    cuda = engine.devices[0].startswith("cuda")
    return cuda and torch.cuda.is_bf16_supported(including_emulation=False)
