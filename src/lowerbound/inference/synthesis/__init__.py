"""Synthetic rows of a table: drawn column by column, under its form and constraints."""
