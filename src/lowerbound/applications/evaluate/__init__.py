"""The command that measures how good a model is on data."""
