"""Evaluation: what a trained pipeline does, what it would do under controls, and what that says of its eye."""
