"""Alembic's environment: migrations run on the connection that `app.storage.schema` hands over."""

from alembic import context

from app.storage.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    # partial indexes belong to generations, which come and go at run time
    include_object=lambda _object, name, kind, _reflected, _compare: (
        not (kind == "index" and (name or "").startswith(("hnsw_", "lexical_")))
    ),
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
