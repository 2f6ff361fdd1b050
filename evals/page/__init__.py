"""Page: a result as one HTML file that needs nothing else."""
