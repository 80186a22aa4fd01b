"""Estimators of models, and what the estimators of all applications share."""
