"""The operator's web page: its server, who may use it, and what it can ask for."""
