"""Training and export. torch is needed by what imports it alone: not by the default encoder's
export, nor by the detector of grasp points. A robot never imports this."""

import os

from vinn.learning.triton_symbols import bind_triton_to_itself

bind_triton_to_itself()
# torch's OpenMP reads it once, when it is loaded. Threads that spin for the next piece of work take
# the cores from whatever else runs (docs/learning.md).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
