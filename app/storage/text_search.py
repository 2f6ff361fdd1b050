"""Text search: the configurations of PostgreSQL, one for each language whose words it knows."""

from app.domain.errors import ConfigurationError
from app.domain.principal import DEFAULT_WORKSPACE_ID
from app.storage.engine import Database

_CONFIGURATIONS = "SELECT cfgname FROM pg_ts_config WHERE pg_ts_config_is_visible(oid) ORDER BY cfgname"


async def require_text_search(database: Database, config: str) -> None:
    """Raise ConfigurationError when the database has no such configuration; `auto` chooses among those it has."""
    if config == "auto":
        return
    async with database.connection(DEFAULT_WORKSPACE_ID) as connection:
        there = [name for (name,) in await (await connection.execute(_CONFIGURATIONS)).fetchall()]
    if config not in there:
        raise ConfigurationError(
            f"FOOTNOTE_TEXT_SEARCH_CONFIG is `{config}`, which the database does not have; set it to `auto` (that of "
            f"each document's language) or to one of {', '.join(there)}."
        )
