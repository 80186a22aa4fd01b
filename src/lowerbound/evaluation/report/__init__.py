"""The HTML report on fitted models."""
