"""Pages: patients, cohorts, evaluation, validation, model card, markers."""
