"""The systems that are compared: a module each, which imports what it measures."""
