"""Tables: files, databases and frames, whole or chunk by chunk."""
