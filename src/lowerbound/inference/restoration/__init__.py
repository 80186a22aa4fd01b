"""Missing cells and noise: E[x | what is known]."""
