"""The memory and the arithmetic of the processor."""
