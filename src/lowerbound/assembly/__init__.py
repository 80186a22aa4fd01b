"""From a schema and options to a model."""
