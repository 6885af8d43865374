"""Range tests of a LightningModule and policies as callbacks; needs the extra ``lightning``."""

from losslab.integrations.lightning.batch_policy import BatchPolicy
from losslab.integrations.lightning.finders import find_batch, find_lr
from losslab.integrations.lightning.lr_policy import LrPolicy

__all__ = ["BatchPolicy", "LrPolicy", "find_batch", "find_lr"]
