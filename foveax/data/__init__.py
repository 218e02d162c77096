"""Data sets: the bundled digits, TFDS, arrays; what is done to them; and the order in which they are seen."""
