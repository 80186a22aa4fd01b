"""Time series: windows of a table, and sequences."""
