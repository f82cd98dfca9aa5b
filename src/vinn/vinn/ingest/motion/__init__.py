"""Camera paths: matches, reconstruction, and the steps with their verdicts."""
