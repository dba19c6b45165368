"""Every figure, in one visual language."""
