"""One step of a trial: that of the whole batch, whatever its parts."""

import torch
from own_network import plain, tensors
from torch.utils.data import DataLoader

from losslab.ranges.trial import cross_entropy, train_briefly


def test_an_accumulated_step_is_that_of_the_large_batch() -> None:
    batches = list(DataLoader(tensors(), batch_size=50))  # the last one is short
    ends = []
    for steps in ([batches], [[[torch.cat(column) for column in zip(*batches, strict=True)]]]):
        model = plain().double()
        wide = [[[images.double(), labels] for images, labels in parts] for parts in steps]
        measured = train_briefly(model, torch.optim.SGD(model.parameters(), lr=0.1), wide, [0.1], cross_entropy)
        ends.append(torch.cat([p.flatten() for p in model.parameters()]))
        assert measured.samples == [len(tensors())]
    assert torch.allclose(*ends, rtol=0, atol=1e-12)
