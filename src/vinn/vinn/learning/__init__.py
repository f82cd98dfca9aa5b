"""Everything that needs torch: training and export. A robot never imports this."""

from vinn.learning.triton_symbols import bind_triton_to_itself

bind_triton_to_itself()
