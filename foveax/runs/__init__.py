"""Runs: trainings that are configured, kept in a directory, resumed, forked, verified, and swept."""
