"""The rollout supervisor's node: resets, rollouts, recordings."""
