"""Predictions of models that learned from few labels: classes and numbers."""
