"""Agents: collecting episodes, training, playing, comparing and films."""
