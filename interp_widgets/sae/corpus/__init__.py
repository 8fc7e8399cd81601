"""Where the atoms of a dictionary fired in a large amount of text: written as it streams by, read at any time after."""
