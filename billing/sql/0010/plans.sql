-- A plan that was made while a table was nearly empty reads all of it, and a connection keeps its plans: a gateway that
-- starts on a new database became ten times slower within a minute. What settles and leases always goes by an index.

ALTER FUNCTION billing_settle(uuid, json) SET enable_seqscan = off;
ALTER FUNCTION billing_return_lease(uuid, uuid, bigint) SET enable_seqscan = off;

-- The order leaves one index to go by; by equality alone, an empty table's plan may take any that begins with the organization.
CREATE OR REPLACE FUNCTION billing_chain_transfer() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before record;
BEGIN
    SELECT sequence, hash INTO before FROM billing_transfer
     WHERE organization_id = NEW.organization_id AND sequence < NEW.sequence
     ORDER BY organization_id DESC, sequence DESC LIMIT 1;
    -- Entries of the same statement are seen too: they are inserted in order, and this is volatile.
    IF coalesce(before.sequence, 0) <> NEW.sequence - 1 THEN
        RAISE EXCEPTION 'a transfer must continue the wallet''s sequence and balance'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    NEW.hash := billing_chain(coalesce(before.hash, ''), NEW);
    RETURN NEW;
END $$;

DO $$
BEGIN
    EXECUTE (SELECT format('ALTER FUNCTION %s SET enable_seqscan = off', oid::regprocedure)
               FROM pg_proc WHERE proname = 'billing_draw_lease');
END $$;
