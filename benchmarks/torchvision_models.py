"""Count every classification model of torchvision and compare with the figures that torchvision publishes.

Needs an environment of its own, because torchvision pins torch:

    python -m venv ../torchvision
    ../torchvision/bin/pip install torchvision pydantic
    PYTHONPATH=src ../torchvision/bin/python benchmarks/torchvision_models.py

Exit status 1 when a model raises, has an operation that is not counted, or differs from the published figures:
parameters exactly, multiply-accumulates to the three decimals of a billion that are published.
"""

import sys
import warnings

try:
    from torchvision import models
except ImportError:
    print(
        "torchvision is not installed here; its own environment is set up as this script's first lines say"
    )
    sys.exit(0)

from losslab.accounting import Ledger, count
from losslab.errors import LosslabError

BUILT_WITH = {"vit_h_14": "image_size=518"}
"""Options that the published weights need."""
WITHOUT_AUXILIARY = {"googlenet"}
"""Published without the parameters of the auxiliary classifiers, which do not run in evaluation mode."""


def faults(name: str) -> list[str]:
    weights = models.get_model_weights(name).DEFAULT
    side = weights.transforms().crop_size[0]
    options = f"({BUILT_WITH[name]})" if name in BUILT_WITH else ""
    try:
        ledger = count(f"torchvision/{name}{options}", (3, side, side))
    except LosslabError as error:
        return [str(error)]
    found = [f"{row.name} ({row.kind}) is not counted" for row in ledger.not_counted]
    published = weights.meta["num_params"], weights.meta["_ops"]
    if parameters(name, ledger) != published[0]:
        found.append(f"{parameters(name, ledger):,} parameters, published {published[0]:,}")
    if round(ledger.macs / 1e9, 3) != round(published[1], 3):
        found.append(f"{ledger.macs / 1e9:.3f} billion MACs, published {published[1]:.3f}")
    return found


def parameters(name: str, ledger: Ledger) -> int:
    left_out = (
        [row for row in ledger.rows if row.status == "not run"]
        if name in WITHOUT_AUXILIARY
        else []
    )
    return ledger.parameters - sum(int(row.parameters) for row in left_out)


def main() -> int:
    warnings.simplefilter("ignore")
    names = models.list_models(module=models)
    wrong = 0
    for name in names:
        found = faults(name)
        wrong += bool(found)
        print(f"{name:24} {'; '.join(found) or 'equal'}", flush=True)
    print(f"{len(names) - wrong} of {len(names)} models equal the published figures")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
