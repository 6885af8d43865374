"""One step of a trial: that of the whole batch, whatever its parts."""

import torch
from own_network import plain, tensors
from torch.utils.data import DataLoader

from losslab.ranges.losses import UserLoss, cross_entropy
from losslab.ranges.trial import train_briefly
from losslab.training.step import Part, Stepper


def test_an_accumulated_step_is_that_of_the_large_batch() -> None:
    batches = list(DataLoader(tensors(), batch_size=50))  # the last one is short
    ends = []
    for step in (batches, [[torch.cat(column) for column in zip(*batches, strict=True)]]):
        model = plain().double()
        parts = [Part((images.double(), labels), len(labels)) for images, labels in step]
        stepper = Stepper(model, torch.optim.SGD(model.parameters(), lr=0.1), UserLoss(cross_entropy))
        measured = train_briefly(stepper, [parts], [0.1])
        ends.append(torch.cat([p.flatten() for p in model.parameters()]))
        assert measured.samples == [len(tensors())]
    assert torch.allclose(*ends, rtol=0, atol=1e-12)
