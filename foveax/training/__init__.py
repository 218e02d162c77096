"""Training: the fused step, the loop around it, the run directory."""
