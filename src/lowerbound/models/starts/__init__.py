"""Where models start: at the solution of a classical model."""
