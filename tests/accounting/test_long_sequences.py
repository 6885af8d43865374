"""The work of a count grows with the number of operations and no faster, seen by the calls of Python functions."""

import sys

import pytest
import torch
from torch import nn

from losslab.accounting import count


class Writing(nn.Module):
    """A loop that writes each step into a tensor."""

    def __init__(self):
        super().__init__()
        self.cell = nn.LSTMCell(8, 8)

    def forward(self, x):
        out, states = torch.zeros_like(x), None
        for t in range(x.shape[1]):
            states = self.cell(x[:, t], states)
            out[:, t] = states[0]
        return out


def calls_to_count(model, steps):
    """Python functions that a count calls."""
    calls = 0

    def note(_frame, event, _value):
        nonlocal calls
        calls += event == "call"

    sys.setprofile(note)
    try:
        ledger = count(model, (steps, 8))
    finally:
        sys.setprofile(None)
    assert ledger.macs == steps * 4 * 8 * (8 + 8)
    return calls


@pytest.mark.parametrize(
    "model", [Writing(), nn.LSTM(8, 8, batch_first=True)], ids=["loop", "lstm"]
)
def test_twice_the_steps_are_twice_the_calls(model):
    calls_to_count(model, 2)
    few, more, most = (calls_to_count(model, steps) for steps in (100, 200, 400))
    assert most - more == pytest.approx(2 * (more - few), rel=0.03)
