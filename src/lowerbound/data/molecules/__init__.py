"""Molecules as text: reading SMILES, SELFIES, properties, similarity and drawings."""
