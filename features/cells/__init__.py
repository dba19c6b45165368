"""Single cells: from a matrix too large for memory to what samples are made of."""
