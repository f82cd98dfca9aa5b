"""Methods that an artefact can hold: each kind is one file."""
