"""Documents: their files, their layout, their model."""
