"""What is looked at before a robot moves."""
