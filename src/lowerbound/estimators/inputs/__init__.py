"""Conversion of rows and labels from the user's form, by scikit-learn's rules."""
