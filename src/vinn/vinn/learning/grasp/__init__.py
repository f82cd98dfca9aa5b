"""Training the detector of grasp points: views with labels, and the plane around the point."""
