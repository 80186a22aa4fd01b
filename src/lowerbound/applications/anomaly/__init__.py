"""Odd rows found and explained."""
