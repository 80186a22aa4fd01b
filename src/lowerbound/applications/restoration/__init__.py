"""Missing cells filled, noise taken off."""
