"""Building a model from a schema and options."""
