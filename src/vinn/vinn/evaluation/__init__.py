"""How well a policy does: trials, choices, intervals, latencies and results files."""
