-- The ledger keeps its own promises: balances follow from transfers, entries never change, and a
-- wallet is never oversold, whoever writes (DESIGN.md promises 1, 2 and 6).

-- Accounts: opened empty, moved only by the triggers below, never removed.

CREATE FUNCTION billing_guard_account() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.balance_nano <> 0 OR NEW.leased_nano <> 0 OR NEW.sequence <> 0 THEN
            RAISE EXCEPTION 'an account opens empty' USING ERRCODE = 'integrity_constraint_violation';
        END IF;
        RETURN NEW;
    END IF;
    -- Depth 1 is this trigger itself; transfers and leases reach accounts from a trigger of theirs.
    IF TG_OP = 'DELETE' OR pg_trigger_depth() < 2 THEN
        RAISE EXCEPTION 'accounts change only through transfers and leases'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER guard BEFORE INSERT OR UPDATE OR DELETE ON billing_account
    FOR EACH ROW EXECUTE FUNCTION billing_guard_account();

CREATE FUNCTION billing_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE TRIGGER never_emptied BEFORE TRUNCATE ON billing_account
    FOR EACH STATEMENT EXECUTE FUNCTION billing_refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON billing_transfer
    FOR EACH STATEMENT EXECUTE FUNCTION billing_refuse_change();

-- Transfers: each insert moves both accounts and must continue the wallet's sequence and balance.

CREATE FUNCTION billing_apply_transfers() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    moved_accounts bigint;
    expected_accounts bigint;
BEGIN
    PERFORM 1 FROM billing_account a
     WHERE a.kind = 'wallet' AND a.organization_id IN (SELECT t.organization_id FROM added t)
     ORDER BY a.organization_id FOR NO KEY UPDATE;

    IF EXISTS (
        SELECT FROM (
            SELECT t.sequence, t.balance_after_nano,
                   CASE WHEN t.credit_account = 'wallet' THEN t.amount_nano ELSE -t.amount_nano END AS signed,
                   coalesce(lag(t.sequence) OVER w, a.sequence) AS sequence_before,
                   coalesce(lag(t.balance_after_nano) OVER w, a.balance_nano) AS balance_before
              FROM added t
              LEFT JOIN billing_account a ON a.organization_id = t.organization_id AND a.kind = 'wallet'
            WINDOW w AS (PARTITION BY t.organization_id ORDER BY t.sequence)
        ) chain
        WHERE chain.sequence IS DISTINCT FROM chain.sequence_before + 1
           OR chain.balance_after_nano IS DISTINCT FROM chain.balance_before + chain.signed
    ) THEN
        RAISE EXCEPTION 'a transfer must continue the wallet''s sequence and balance'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;

    WITH sides AS (
        SELECT organization_id, debit_account AS kind, -amount_nano AS delta, sequence FROM added
        UNION ALL
        SELECT organization_id, credit_account, amount_nano, sequence FROM added
    ), moved AS (
        SELECT organization_id, kind, sum(delta)::bigint AS delta, max(sequence) AS sequence
          FROM sides GROUP BY organization_id, kind
    ), updated AS (
        UPDATE billing_account a
           SET balance_nano = a.balance_nano + m.delta,
               sequence = CASE a.kind WHEN 'wallet' THEN m.sequence ELSE a.sequence END
          FROM moved m
         WHERE a.organization_id = m.organization_id AND a.kind = m.kind
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM updated), (SELECT count(*) FROM moved)
      INTO moved_accounts, expected_accounts;
    IF moved_accounts <> expected_accounts THEN
        RAISE EXCEPTION 'a transfer names an account that does not exist'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER apply AFTER INSERT ON billing_transfer
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION billing_apply_transfers();

-- Leases: what an open lease has not spent is set aside in its wallet.

CREATE FUNCTION billing_open_nano(lease billing_lease) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN lease.closed_at IS NULL THEN lease.granted_nano - lease.spent_nano ELSE 0 END
$$;

CREATE FUNCTION billing_apply_leases() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        UPDATE billing_account a SET leased_nano = a.leased_nano + d.delta
          FROM (SELECT l.organization_id, sum(billing_open_nano(l))::bigint AS delta
                  FROM added l GROUP BY l.organization_id) d
         WHERE a.organization_id = d.organization_id AND a.kind = 'wallet' AND d.delta <> 0;
    ELSE
        UPDATE billing_account a SET leased_nano = a.leased_nano + d.delta
          FROM (SELECT organization_id, sum(nano)::bigint AS delta
                  FROM (SELECT l.organization_id, billing_open_nano(l) AS nano FROM added l
                        UNION ALL
                        SELECT l.organization_id, -billing_open_nano(l) FROM removed l) sides
                 GROUP BY organization_id) d
         WHERE a.organization_id = d.organization_id AND a.kind = 'wallet' AND d.delta <> 0;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER apply_insert AFTER INSERT ON billing_lease
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION billing_apply_leases();
CREATE TRIGGER apply_update AFTER UPDATE ON billing_lease
    REFERENCING OLD TABLE AS removed NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION billing_apply_leases();

CREATE FUNCTION billing_guard_lease() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.closed_at IS NULL THEN
            RAISE EXCEPTION 'an open lease cannot be removed' USING ERRCODE = 'integrity_constraint_violation';
        END IF;
        RETURN OLD;
    END IF;
    IF OLD.closed_at IS NOT NULL OR NEW.organization_id <> OLD.organization_id
       OR NEW.spent_nano < OLD.spent_nano THEN
        RAISE EXCEPTION 'a lease is closed once, and only ever spends' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER guard BEFORE UPDATE OR DELETE ON billing_lease
    FOR EACH ROW EXECUTE FUNCTION billing_guard_lease();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON billing_lease
    FOR EACH STATEMENT EXECUTE FUNCTION billing_refuse_change();
