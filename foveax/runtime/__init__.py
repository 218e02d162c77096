"""Processes, signals, files: what a long computation needs, whatever it computes."""
