"""Training: the fused step, the loop around it, and the devices that it runs on."""
