"""Starting values of models: the solution of a classical model."""
