"""The `vinn` command: `main` composes one typer app per area (`demos`, `encoder`, ...)."""
