"""Another model takes the place of the prior over z."""
