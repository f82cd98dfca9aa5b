"""What each part of a policy is worth."""
