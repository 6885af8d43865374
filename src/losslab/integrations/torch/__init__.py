"""Schedules in a plain torch training loop: a batch sampler, a scheduler, and both laid out in one call."""

from losslab.integrations.torch.course import Course, lay_out
from losslab.integrations.torch.sampler import PolicyBatchSampler
from losslab.integrations.torch.scheduler import lr_scheduler

__all__ = ["Course", "PolicyBatchSampler", "lay_out", "lr_scheduler"]
