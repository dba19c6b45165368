"""Files of any make → tables and observations."""
