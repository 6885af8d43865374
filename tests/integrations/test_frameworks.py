"""Tests that need a framework are skipped where it is absent; here its absence is an error."""

from importlib import import_module

import pytest

NAMES = (
    "accelerate",
    "datasets",
    "jax",
    "keras",
    "lightning",
    "optuna",
    "transformers",
    "wandb",
)
"""What `make frameworks` installs."""


@pytest.mark.frameworks
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", NAMES)
def test_the_framework_is_installed(name: str) -> None:
    assert import_module(name)
