"""Storage: PostgreSQL and the run log; the only room with SQL in it."""
