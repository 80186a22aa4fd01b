"""The progress of a run: display and history."""
