"""Networks for the columns of tables."""
