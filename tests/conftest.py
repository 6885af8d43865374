import os

from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")  # pytest-xdist already uses every core
# A busy machine is no fault, and the same commit gets the same verdict everywhere.
settings.register_profile("losslab", deadline=None, derandomize=True)
settings.load_profile("losslab")
