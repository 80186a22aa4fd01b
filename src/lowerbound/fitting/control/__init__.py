"""Agents: environments, learning a world model and behavior from them, and playing."""
