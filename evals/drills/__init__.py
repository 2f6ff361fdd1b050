"""Drills: what the running product does under load or fault, as figures."""
