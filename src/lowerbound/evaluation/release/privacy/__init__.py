"""Attacks on released tables, each with a control group, and bounds on the privacy loss."""
