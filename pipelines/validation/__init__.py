"""A model validated: choice, splits, peers, shift, criteria."""
