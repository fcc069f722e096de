"""How far each notification channel has come with the journal, and what still waits."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE channels (
          name text COLLATE "C" PRIMARY KEY, seq bigint NOT NULL,
          delivered bigint NOT NULL DEFAULT 0, delivered_at text NOT NULL DEFAULT '',
          error text NOT NULL DEFAULT '', error_at text NOT NULL DEFAULT '')""")
    op.execute("""
        CREATE TABLE backlog (
          channel text COLLATE "C" NOT NULL, seq bigint NOT NULL,
          target text COLLATE "C" NOT NULL, name text NOT NULL,
          refusals integer NOT NULL DEFAULT 0, PRIMARY KEY (channel, seq))""")
    op.execute("CREATE INDEX backlog_by_target ON backlog (channel, target, seq)")


def downgrade() -> None:
    op.execute("DROP TABLE backlog")
    op.execute("DROP TABLE channels")
