"""Tests of q(z | x)."""
