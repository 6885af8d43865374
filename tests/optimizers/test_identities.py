"""Identities of runs that exist: options and fields that are added with a default leave them as they are."""

import pytest

from losslab.spec import make_run

IDENTITIES = {
    "adagrad": "607754d7cc87",
    "rmsprop": "2a8c2431f0f1",
    "rmsprop(rho=0.9)": "a526e54bea6f",
    "rmsprop-nesterov": "bd6e92179943",
    "adadelta": "0ffe1a97bf3d",
    "adam": "ed4df6d0e1dd",
    "adam(betas=(0.9, 0.95))": "ec87c772f0ff",
    "sgd(momentum=0.9)": "687136d125fb",
    "adamw": "74ac1bbfe5cd",
    "nadam": "4d8dd25d19e5",
}
FIELDS = {"data": "cifar10", "model": "mlp", "lr": 1e-3, "batch": 128, "epochs": 2}


@pytest.mark.parametrize("optimizer", IDENTITIES)
def test_an_old_run_keeps_its_identity(optimizer: str) -> None:
    assert make_run({**FIELDS, "optimizer": optimizer}).id == IDENTITIES[optimizer]


@pytest.mark.parametrize(
    "changed",
    [
        {"optimizer": "adam(amsgrad=True)"},
        {"optimizer": "torch.optim/Adam"},
        {"optimizer": "torch.optim/Adam(amsgrad=True)"},
        {"optimizer": "adam", "parameter_groups": "samples:layerwise"},
    ],
)
def test_what_changes_a_run_changes_its_identity(changed: dict[str, str]) -> None:
    assert make_run({**FIELDS, **changed}).id != IDENTITIES["adam"]


def test_a_list_and_a_tuple_are_the_same_option() -> None:
    texts = ("torch.optim/RAdam(betas=[0.9, 0.99])", "torch.optim/RAdam(betas=(0.9, 0.99))")
    assert len({make_run({**FIELDS, "optimizer": text}).id for text in texts}) == 1
