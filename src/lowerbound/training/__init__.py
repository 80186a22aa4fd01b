"""The loop, the schedules and the checkpoints."""
