"""A rollout: supervisor states, the step loop, start poses, recording and reading it back."""
