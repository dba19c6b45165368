"""Steps, files, tracking and the command line. Nothing is imported here, so that it is quick."""

__all__: list[str] = []
