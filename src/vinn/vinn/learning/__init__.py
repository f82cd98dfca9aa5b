"""Training and export. torch is needed by what imports it alone: not by the default encoder's
export, nor by the detector of grasp points. A robot never imports this."""

from vinn.learning.triton_symbols import bind_triton_to_itself

bind_triton_to_itself()
