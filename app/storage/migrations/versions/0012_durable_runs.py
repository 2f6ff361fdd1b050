"""Runs can wait for a worker and be taken over: what they answer is kept, and nobody need hold their lease."""

from alembic import op

revision = "0012"
down_revision = "0007"

UP = """
ALTER TABLE run ALTER COLUMN lease_owner DROP NOT NULL, ALTER COLUMN lease_expires_at DROP NOT NULL,
    ADD COLUMN question JSONB,
    ADD COLUMN crashes INTEGER NOT NULL DEFAULT 0,
    ADD COLUMN stop_asked BOOLEAN NOT NULL DEFAULT false,
    ADD COLUMN begun_at TIMESTAMPTZ DEFAULT now(),
    ADD CONSTRAINT ck_run_lease CHECK ((lease_owner IS NULL) = (lease_expires_at IS NULL));
ALTER TABLE run ALTER COLUMN begun_at DROP DEFAULT;
ALTER TABLE run NO FORCE ROW LEVEL SECURITY;
UPDATE run SET lease_owner = NULL, lease_expires_at = NULL WHERE state <> 'running';
ALTER TABLE run FORCE ROW LEVEL SECURITY;
DROP INDEX ix_run_lease;
CREATE INDEX ix_run_lease ON run (lease_expires_at) WHERE lease_expires_at IS NOT NULL;
"""

DOWN = """
ALTER TABLE run NO FORCE ROW LEVEL SECURITY;
UPDATE run SET lease_owner = coalesce(lease_owner, ''), lease_expires_at = coalesce(lease_expires_at, now());
ALTER TABLE run FORCE ROW LEVEL SECURITY;
ALTER TABLE run DROP CONSTRAINT ck_run_lease, DROP COLUMN question, DROP COLUMN crashes, DROP COLUMN stop_asked,
    DROP COLUMN begun_at, ALTER COLUMN lease_owner SET NOT NULL, ALTER COLUMN lease_expires_at SET NOT NULL;
DROP INDEX ix_run_lease;
CREATE INDEX ix_run_lease ON run (lease_expires_at) WHERE state = 'running';
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute(DOWN)
