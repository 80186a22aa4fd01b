"""Tests of p(z)."""
