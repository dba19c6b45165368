"""Sections of the configuration, checked."""
