"""Networks for signals such as sound."""
