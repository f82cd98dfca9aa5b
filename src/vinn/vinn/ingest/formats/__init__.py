"""Other people's data formats, in and out. Nothing in a file is executed or trusted."""
