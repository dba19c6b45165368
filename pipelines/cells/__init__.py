"""Single cells: from a file of cells to samples, and back to the cells."""
