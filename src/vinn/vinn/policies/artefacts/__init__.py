"""Policy artefacts: built, opened, checked, edited; and the choices that a build makes."""
