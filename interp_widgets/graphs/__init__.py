"""Circuit graphs: the one structure in which a circuit is shown, and the files it is read from and written to."""
