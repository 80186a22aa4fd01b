"""The coefficients of blocks of pictures in a file: their steps, their rounding, their coding."""
