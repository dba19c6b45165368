"""Calls and notes of a scored cohort."""
