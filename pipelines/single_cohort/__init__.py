"""Training on a single cohort: its patients are held out, in repeated nested folds."""
