"""Prior to likelihood, and through the posterior."""
