"""The one artefact of a fit, a folder: written whole, read with every hash verified."""
