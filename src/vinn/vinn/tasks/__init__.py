"""Tasks: what a policy is asked to do, demonstrated by scripted experts, recorded and split."""
