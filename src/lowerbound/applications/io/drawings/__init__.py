"""Sheets of pictures, films and strips."""
