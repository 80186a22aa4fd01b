"""Annealed chains between a proposal and a posterior."""
