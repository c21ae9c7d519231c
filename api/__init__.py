"""The HTTP edge: turns requests into commands and read models into answers."""
