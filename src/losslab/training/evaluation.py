"""What is measured of a network as it stands: loss and accuracy on images, the penalty of its weights, their hash."""

from hashlib import sha256
from math import fsum

import torch
from torch import nn
from torch.nn import functional as F

from losslab.data.batches import Images

EVALUATION_BATCH = 1000


@torch.no_grad()
def evaluate(model: nn.Module, images: Images) -> tuple[float, float]:
    """Mean cross-entropy and accuracy in evaluation mode; the model's mode is left as it was."""
    was_training = model.training
    model.eval()
    loss, correct = 0.0, 0
    for indices in torch.split(torch.arange(len(images), device=images.labels.device), EVALUATION_BATCH):
        pixels, labels = images.batch(indices)
        logits = model(pixels)
        loss += float(F.cross_entropy(logits, labels, reduction="sum"))
        correct += int((logits.argmax(1) == labels).sum())
    model.train(was_training)
    return loss / len(images), correct / len(images)


def penalty(optimizer: torch.optim.Optimizer) -> float:
    """weight_decay/2 times the squared norm of the decayed weights."""
    return fsum(
        0.5 * group["weight_decay"] * float(weights.detach().double().square().sum())
        for group in optimizer.param_groups
        if group["weight_decay"]
        for weights in group["params"]
    )


def weights_sha256(model: nn.Module) -> str:
    """A hash of every parameter and buffer, in order."""
    digest = sha256()
    for tensor in model.state_dict().values():
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
