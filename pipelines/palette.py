"""The colours and sizes of every figure: told apart by the colour-blind, the same everywhere."""

__all__ = ["GREY", "RESISTANT", "RESPONSIVE", "SERIES", "TITLE_SIZE", "WIDTH"]

RESISTANT, RESPONSIVE, GREY = "#b2182b", "#2166ac", "#777777"
SERIES = (RESISTANT, RESPONSIVE, "#4d9221", "#984ea3", GREY)
TITLE_SIZE = 11
WIDTH = 9.0
"""Inches; 900 pixels at 100 dots an inch."""
