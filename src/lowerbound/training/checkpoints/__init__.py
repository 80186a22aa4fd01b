"""What is kept of a run, so that it goes on bit for bit."""
