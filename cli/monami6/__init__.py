"""monami6: the command line."""
