"""From distributions to bytes and back: coders, and the file that holds what they write."""
