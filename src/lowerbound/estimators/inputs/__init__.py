"""Rows and labels as a person gives them, by scikit-learn's rules."""
