"""Tasks on a fitted model, with tensors as input and output."""
