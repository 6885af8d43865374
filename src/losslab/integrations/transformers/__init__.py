"""Range tests and policies of a Transformers Trainer; needs the extra ``transformers``."""

from losslab.integrations.transformers.batch_policy import batch_policy
from losslab.integrations.transformers.finders import find_batch, find_lr
from losslab.integrations.transformers.lr_policy import LrPolicy

__all__ = ["LrPolicy", "batch_policy", "find_batch", "find_lr"]
