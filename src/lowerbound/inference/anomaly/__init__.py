"""Anomaly scores, their calibration, and their explanation."""
