"""Web pages for whoever sits at a machine: the server and whose requests it answers (aiohttp)."""
