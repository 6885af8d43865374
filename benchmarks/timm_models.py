"""Count one model of each architecture of timm and compare with torch's counter and with the model's own parameters.

Needs an environment of its own, because timm needs torchvision, which pins torch:

    python -m venv ../timm
    ../timm/bin/pip install timm pydantic rich cyclopts
    PYTHONPATH=src ../timm/bin/python benchmarks/timm_models.py

torch's counter runs on the meta device, with the unfused kernel of attention, the only one that it has a rule for on a
CPU. Exit status 1 when a model is refused, has an operation that is not counted, or differs.
"""

import sys
import warnings

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

try:
    import timm
except ImportError:
    print(
        "timm is not installed here; its own environment is set up as this script's first lines say"
    )
    sys.exit(0)

from losslab.accounting import count
from losslab.errors import LosslabError


def faults(name: str) -> list[str]:
    try:
        ledger = count(f"timm/{name}")
    except LosslabError as error:
        return [str(error)]
    with torch.device("meta"):
        model = timm.create_model(name).eval()
        images = torch.zeros(1, *model.default_cfg["input_size"])
    # The counter follows modules by their gradient functions, which a few models lose.
    model.requires_grad_(False)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        model(images)
    found = [f"{row.name} ({row.kind}) is not counted" for row in ledger.not_counted]
    if ledger.parameters != parameters:
        found.append(f"{ledger.parameters:,} parameters, the model has {parameters:,}")
    if ledger.flops != counter.get_total_flops():
        found.append(f"{ledger.flops:,} FLOPs, torch counts {counter.get_total_flops():,}")
    return found


def names() -> list[str]:
    """The first model of each architecture that timm lists."""
    first: dict[str, str] = {}
    for module in timm.list_modules():
        models = timm.list_models(module=module)
        if models:
            first[module] = models[0]
    return list(first.values())


def main() -> int:
    warnings.simplefilter("ignore")
    wrong = 0
    for name in names():
        try:
            found = faults(name)
        except Exception as error:
            # The model itself does not run on the meta device; nothing can be compared.
            found = [f"torch's own run fails: {str(error).splitlines()[0][:150]}"]
        wrong += bool(found)
        print(f"{name}: {'; '.join(found) or 'equal'}", flush=True)
    print(
        f"{len(names()) - wrong} of {len(names())} equal; timm {timm.__version__}, torch {torch.__version__}"
    )
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main())
