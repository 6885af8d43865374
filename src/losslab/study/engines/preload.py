"""What the server that workers are forked from loads, for them all, before it forks the first."""

import signal

# torch loads its compiler with the first optimizer, which takes as long as all the rest.
import torch._dynamo

import losslab.study.calibrate
import losslab.study.worker

__all__ = ["losslab", "torch"]

# Ctrl-C was blocked since the server began, so that it shows no traceback while it loads. One that came meanwhile is
# dropped here, and whatever is forked later, by others too, knows it again.
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
signal.signal(signal.SIGINT, signal.default_int_handler)
