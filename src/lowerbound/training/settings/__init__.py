"""Settings of a run: options, sizes of updates, precision, memory."""
