"""Subtypes of small-cell lung cancer held against published calls."""
