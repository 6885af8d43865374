"""Range tests and policies of what Accelerate has prepared; needs the extra ``accelerate``."""

from losslab.integrations.accelerate.course import lay_out
from losslab.integrations.accelerate.finders import find_batch, find_lr

__all__ = ["find_batch", "find_lr", "lay_out"]
