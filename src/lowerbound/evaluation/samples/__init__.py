"""How near samples are to real rows."""
