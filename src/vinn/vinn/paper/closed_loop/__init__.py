"""Tables of trials in simulation."""
