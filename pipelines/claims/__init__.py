"""What the reviews claim of features, held against the data of each setting."""
