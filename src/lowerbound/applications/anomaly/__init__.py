"""Anomaly detection with explanations."""
