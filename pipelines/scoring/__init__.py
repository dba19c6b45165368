"""Calls, notes and figures of a scored cohort."""
