"""People and models on one table: the study."""
