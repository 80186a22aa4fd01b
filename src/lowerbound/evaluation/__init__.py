"""What a fitted model is worth, in honest units."""
