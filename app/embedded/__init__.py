"""Embedded services: PostgreSQL and Valkey out of wheels, owned by the process that starts them."""
