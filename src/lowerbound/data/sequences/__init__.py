"""Rows that are points in time."""
