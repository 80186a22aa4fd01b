"""One page that says how good fitted models are."""
