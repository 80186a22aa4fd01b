"""A model as a codec, beside widely used codecs, on the same data."""
