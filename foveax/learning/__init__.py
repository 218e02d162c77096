"""The mathematics of learning where to look: policies, rewards, returns, losses."""
