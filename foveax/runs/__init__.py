"""Runs: trainings that are configured, kept in a directory, resumed, forked and verified."""
