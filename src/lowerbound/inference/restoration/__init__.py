"""Imputation of missing cells and removal of noise."""
