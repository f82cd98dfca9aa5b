"""What RViz and Foxglove show."""
