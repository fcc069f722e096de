"""Alembic's entry: runs migrations on the connection that ``orchestrator/schema.py`` hands over."""

from __future__ import annotations

from alembic import context

from orchestrator.database import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
