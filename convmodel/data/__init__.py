"""Documents in, a model that writes documents of a kind you name out."""
