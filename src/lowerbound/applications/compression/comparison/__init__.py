"""What a model is worth as a codec: beside the codecs that everybody has, on the same data."""
