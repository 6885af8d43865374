"""Another backend of Keras than torch, in a process of its own: the backend is chosen when Keras is imported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.frameworks
TESTS = Path(__file__).parents[2]


def test_finders_cycles_and_batch_sizes_work_on_jax() -> None:
    pytest.importorskip("jax")
    done = subprocess.run(
        [sys.executable, str(TESTS / "keras_on_backend.py"), "jax"],
        env={**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
