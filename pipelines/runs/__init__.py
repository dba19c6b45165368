"""What a training writes into MLflow."""
