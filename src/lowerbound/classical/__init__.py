"""Classical models fitted without gradients: initial values of networks, and baselines."""
