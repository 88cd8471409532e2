-- Each organization's ledger is a chain: an entry's hash covers the entry and the hash before it, so that
-- whoever holds an old statement sees any later change of it. static/verify_statement.py computes the same.

CREATE FUNCTION billing_chain(before bytea, entry billing_transfer) RETURNS bytea LANGUAGE sql STABLE AS $$
    SELECT sha256(convert_to(concat_ws('|',
        encode(before, 'hex'), 'org_' || replace(entry.organization_id::text, '-', ''), entry.sequence, entry.kind,
        entry.debit_account, entry.credit_account, entry.amount_nano, entry.balance_after_nano,
        (extract(epoch FROM entry.created_at) * 1000000)::bigint, entry.reference, entry.description), 'UTF8'))
$$;

CREATE FUNCTION billing_chain_transfer() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before bytea := '';
BEGIN
    IF NEW.sequence > 1 THEN
        -- Entries of the same statement are seen too: they are inserted in order, and this is volatile.
        SELECT hash INTO before FROM billing_transfer
         WHERE organization_id = NEW.organization_id AND sequence = NEW.sequence - 1;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'a transfer must continue the wallet''s sequence and balance'
                USING ERRCODE = 'integrity_constraint_violation';
        END IF;
    END IF;
    NEW.hash := billing_chain(before, NEW);
    RETURN NEW;
END $$;

-- What was there before the chain began is chained now, once.
ALTER TABLE billing_transfer DISABLE TRIGGER append_only;
DO $$
DECLARE
    entry billing_transfer;
    before bytea;
    tenant uuid;
BEGIN
    FOR entry IN SELECT * FROM billing_transfer ORDER BY organization_id, sequence LOOP
        IF tenant IS DISTINCT FROM entry.organization_id THEN
            before := '';
            tenant := entry.organization_id;
        END IF;
        before := billing_chain(before, entry);
        UPDATE billing_transfer SET hash = before WHERE id = entry.id;
    END LOOP;
END $$;
ALTER TABLE billing_transfer ENABLE TRIGGER append_only;

CREATE TRIGGER chain BEFORE INSERT ON billing_transfer
    FOR EACH ROW EXECUTE FUNCTION billing_chain_transfer();
