import os

from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")  # pytest-xdist already uses every core
settings.register_profile("losslab", deadline=None)  # a busy machine is no fault
settings.load_profile("losslab")
