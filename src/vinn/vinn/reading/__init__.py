"""Opening what comes from elsewhere: regular files alone, and one line for whatever is wrong."""
