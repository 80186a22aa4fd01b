"""Tests of p(x | z)."""
