"""The paper's comparison in simulation: methods, tables, figures, and what goes beyond."""
