"""How good the bound is: tighter bounds, gaps, published figures."""
