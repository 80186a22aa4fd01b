"""Tighter bounds, amortization gaps, shares of columns, and published figures."""
