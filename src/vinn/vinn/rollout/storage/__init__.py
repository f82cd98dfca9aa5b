"""Recordings as files: MCAP and sqlite3, whole or cut off, and the messages in them."""
