"""Lightning data modules, one for each kind of example."""
