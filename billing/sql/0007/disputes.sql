-- Disputed money is withheld from new calls: the wallet's frozen_nano follows from the disputes, as
-- leased_nano follows from the leases. What this file replaces is in 0002.

CREATE OR REPLACE FUNCTION billing_guard_account() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.balance_nano <> 0 OR NEW.leased_nano <> 0 OR NEW.frozen_nano <> 0 OR NEW.sequence <> 0 THEN
            RAISE EXCEPTION 'an account opens empty' USING ERRCODE = 'integrity_constraint_violation';
        END IF;
        RETURN NEW;
    END IF;
    -- Depth 1 is this trigger itself; transfers, leases and disputes reach accounts from a trigger of theirs.
    IF TG_OP = 'DELETE' OR pg_trigger_depth() < 2 THEN
        RAISE EXCEPTION 'accounts change only through transfers, leases and disputes'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

-- What a dispute withholds: all of it while open; once lost, what was not collected yet.
CREATE FUNCTION billing_frozen_nano(dispute billing_dispute) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE dispute.status WHEN 'won' THEN 0 ELSE dispute.amount_nano - dispute.collected_nano END
$$;

CREATE FUNCTION billing_apply_dispute() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    delta bigint;
BEGIN
    IF TG_OP = 'INSERT' THEN
        delta := billing_frozen_nano(NEW);
    ELSIF TG_OP = 'UPDATE' AND NEW.organization_id = OLD.organization_id
          AND (OLD.status = 'open' OR OLD.status = NEW.status) AND NEW.collected_nano >= OLD.collected_nano THEN
        delta := billing_frozen_nano(NEW) - billing_frozen_nano(OLD);
    ELSE
        RAISE EXCEPTION 'a dispute is decided once, and never removed' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF delta <> 0 THEN
        UPDATE billing_account SET frozen_nano = frozen_nano + delta
         WHERE organization_id = NEW.organization_id AND kind = 'wallet';
        -- Gateways give back what they hold beyond their calls under way, so that it counts.
        PERFORM pg_notify('tokenhub_changes', 'lease_wanted:' || NEW.organization_id);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER apply AFTER INSERT OR UPDATE OR DELETE ON billing_dispute
    FOR EACH ROW EXECUTE FUNCTION billing_apply_dispute();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON billing_dispute
    FOR EACH STATEMENT EXECUTE FUNCTION billing_refuse_change();

CREATE OR REPLACE FUNCTION billing_draw_lease(
    p_lease uuid, p_organization uuid, p_holder text, p_need bigint, p_want bigint, p_ttl_s double precision,
    OUT granted bigint, OUT available bigint, OUT elsewhere bigint
) LANGUAGE plpgsql AS $$
DECLARE
    wallet billing_account;
    lease billing_lease;
BEGIN
    IF p_need <= 0 OR p_want < p_need THEN
        RAISE EXCEPTION 'a draw needs 0 < need <= want' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT * INTO wallet FROM billing_account
     WHERE organization_id = p_organization AND kind = 'wallet' FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        granted := 0; available := 0; elsewhere := 0;
        RETURN;
    END IF;
    UPDATE billing_lease SET closed_at = clock_timestamp()
     WHERE organization_id = p_organization AND closed_at IS NULL
       AND expires_at < clock_timestamp() AND id <> p_lease;
    IF FOUND THEN
        SELECT * INTO wallet FROM billing_account
         WHERE organization_id = p_organization AND kind = 'wallet';
    END IF;
    -- Frozen money may be more than there is: then nothing is available, and it stays so.
    available := wallet.balance_nano - wallet.leased_nano - wallet.frozen_nano;

    SELECT * INTO lease FROM billing_lease WHERE id = p_lease FOR UPDATE;
    IF FOUND AND lease.closed_at IS NOT NULL THEN
        granted := -1; elsewhere := 0;
        RETURN;
    END IF;
    elsewhere := wallet.leased_nano - coalesce(lease.granted_nano - lease.spent_nano, 0);

    granted := greatest(p_need, least(p_want, available / 4));
    IF available < p_need THEN
        granted := 0;
        IF elsewhere > 0 THEN
            PERFORM pg_notify('tokenhub_changes', 'lease_wanted:' || p_organization);
        END IF;
        RETURN;
    END IF;
    IF lease.id IS NULL THEN
        INSERT INTO billing_lease (id, organization_id, holder, granted_nano, spent_nano, created_at, expires_at)
        VALUES (p_lease, p_organization, p_holder, granted, 0, clock_timestamp(),
                clock_timestamp() + make_interval(secs => p_ttl_s));
    ELSE
        UPDATE billing_lease
           SET granted_nano = granted_nano + granted,
               expires_at = clock_timestamp() + make_interval(secs => p_ttl_s)
         WHERE id = p_lease;
    END IF;
    available := available - granted;
END $$;
