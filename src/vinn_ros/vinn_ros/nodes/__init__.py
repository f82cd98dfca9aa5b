"""One module per node; each has a class and a `main`."""
