"""Images with labels: bundled digits, TensorFlow Datasets, your own arrays."""
