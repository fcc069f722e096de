"""The tables that mendloop keeps in PostgreSQL, version by version (Alembic)."""
