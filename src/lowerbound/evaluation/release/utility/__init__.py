"""Measures of usefulness: learners trained on released rows, and errors of distributions."""
