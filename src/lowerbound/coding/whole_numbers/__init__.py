"""Networks and distributions in whole numbers, the same on every machine."""
