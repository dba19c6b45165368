"""Speed, measured against a peer or against the cost of reading the files."""
