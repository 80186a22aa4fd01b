"""Prompts, the input of a conditional prior: classes, attributes and captions as codes."""
