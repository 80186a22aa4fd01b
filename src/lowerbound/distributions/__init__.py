"""The currency of the package: reparameterized draws, divergences, noise and distributions of our
own."""
