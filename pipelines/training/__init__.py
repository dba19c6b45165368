"""Steps of a training."""
