"""How a run is set up: options, sizes of updates, precision, memory."""
