"""A page about a run: one file without scripts and without anything from elsewhere."""
