"""Many trainings: populations as one program, and sweeps over any field."""
