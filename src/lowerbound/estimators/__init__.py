"""The scikit-learn face of models and applications."""
