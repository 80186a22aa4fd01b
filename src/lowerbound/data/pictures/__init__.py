"""Pictures: folders, pixels, sizes."""
