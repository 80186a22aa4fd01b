"""How odd a row is, and why."""
