"""Likelihoods of parts of a whole, which sum to one."""
