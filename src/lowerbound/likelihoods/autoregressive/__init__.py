"""Likelihoods whose cells depend on the cells before them, given z."""
