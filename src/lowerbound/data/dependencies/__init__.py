"""What the columns of a table have to do with each other: lookups and formulas."""
