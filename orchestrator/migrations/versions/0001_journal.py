"""The journal: events, payloads stored apart, the tree's nodes and signed checkpoints.

The same tables as in SQLite (``orchestrator/journal/sqlite_file.py``), so that the same statements
read both. Text is compared byte by byte whatever the database's locale. Going down is refused while
there are events: whoever wants to lose a journal drops the schema by hand.
"""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE events (
  seq bigint PRIMARY KEY CHECK (seq > 0),
  id text COLLATE "C" NOT NULL, at text COLLATE "C" NOT NULL, kind text COLLATE "C" NOT NULL,
  target text COLLATE "C" NOT NULL, incident text COLLATE "C" NOT NULL,
  actor text COLLATE "C" NOT NULL, payload text COLLATE "C" NOT NULL,
  prev_hash text COLLATE "C" NOT NULL UNIQUE, hash text COLLATE "C" NOT NULL);
CREATE INDEX events_by_incident ON events (incident, seq) WHERE incident != '';
CREATE INDEX events_by_kind ON events (target, kind, seq);
CREATE INDEX events_of_kind ON events (kind, seq);
CREATE TABLE payloads (name text COLLATE "C" PRIMARY KEY, content text COLLATE "C" NOT NULL);
CREATE TABLE pruned (name text COLLATE "C" PRIMARY KEY, event bigint NOT NULL);
CREATE TABLE nodes (
  level integer NOT NULL, place bigint NOT NULL, root bytea NOT NULL, PRIMARY KEY (level, place));
CREATE TABLE signed_checkpoints (size bigint PRIMARY KEY, note text COLLATE "C" NOT NULL);
"""

FUNCTIONS = (
    """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'the journal is append-only'; END $$
""",
    """
CREATE FUNCTION refuse_pruning() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (SELECT 1 FROM pruned WHERE pruned.name = OLD.name) THEN
    RAISE EXCEPTION 'only recorded retention may prune a payload';
  END IF;
  RETURN OLD;
END $$
""",
)

TRIGGERS = """
CREATE TRIGGER events_stay BEFORE UPDATE OR DELETE ON events
  FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER events_remain BEFORE TRUNCATE ON events EXECUTE FUNCTION refuse_change();
CREATE TRIGGER payloads_stay BEFORE UPDATE ON payloads
  FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER payloads_remain BEFORE DELETE ON payloads
  FOR EACH ROW EXECUTE FUNCTION refuse_pruning();
CREATE TRIGGER payloads_all_remain BEFORE TRUNCATE ON payloads EXECUTE FUNCTION refuse_change();
CREATE TRIGGER checkpoints_stay BEFORE UPDATE OR DELETE ON signed_checkpoints
  FOR EACH ROW EXECUTE FUNCTION refuse_change();
"""


def upgrade() -> None:
    for statement in (*_each(TABLES), *FUNCTIONS, *_each(TRIGGERS)):
        op.execute(statement)


def downgrade() -> None:
    op.execute(
        "DO $$ BEGIN IF EXISTS (SELECT 1 FROM events) THEN"
        " RAISE EXCEPTION 'there is a journal: export it, then drop the schema by hand';"
        " END IF; END $$"
    )
    for table in ("signed_checkpoints", "nodes", "pruned", "payloads", "events"):
        op.execute(f"DROP TABLE {table}")
    op.execute("DROP FUNCTION refuse_change")
    op.execute("DROP FUNCTION refuse_pruning")


def _each(script: str) -> list[str]:
    return [statement for statement in script.split(";\n") if statement.strip()]
