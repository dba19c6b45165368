"""Registered models: the gate, promotion, rollback, comparison."""
