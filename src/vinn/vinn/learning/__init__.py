"""Everything that needs torch: export of encoders. A robot never imports this."""
