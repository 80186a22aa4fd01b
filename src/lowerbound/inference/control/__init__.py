"""Codes of a fitted model as the observations of policies."""
