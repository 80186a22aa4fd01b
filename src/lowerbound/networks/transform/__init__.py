"""Networks of the transform coder."""
