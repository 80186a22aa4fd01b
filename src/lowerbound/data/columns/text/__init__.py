"""How columns of text write dates, durations and other numbers."""
