"""What networks start from and are compared with: models that are solved without gradients."""
