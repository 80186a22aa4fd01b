"""A fitted model put to use: tensors in and out."""
