"""Tables of errors on held-out demonstrations."""
