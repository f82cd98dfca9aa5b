"""What every node is made of: lifecycle, parameters, callbacks, quality of service, its process."""
