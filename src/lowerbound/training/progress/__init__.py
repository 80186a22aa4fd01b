"""How a run is going, for people and for the record."""
