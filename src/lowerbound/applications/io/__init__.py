"""What all applications read and write."""
