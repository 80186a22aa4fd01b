"""Classes and numbers predicted from few labels."""
