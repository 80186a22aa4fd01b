"""Model folders: written as a whole, read with every hash verified."""
