-- A draw that is refused says what may come back soon: what tasks hold does not. What this file replaces is in 0007.

CREATE OR REPLACE FUNCTION billing_draw_lease(
    p_lease uuid, p_organization uuid, p_holder text, p_need bigint, p_want bigint, p_ttl_s double precision,
    OUT granted bigint, OUT available bigint, OUT elsewhere bigint
) LANGUAGE plpgsql SET enable_seqscan = off AS $$
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
        -- A task holds its money for minutes: nobody waits for that.
        elsewhere := elsewhere - coalesce((
            SELECT sum(l.granted_nano - l.spent_nano) FROM billing_lease l
             WHERE l.organization_id = p_organization AND l.closed_at IS NULL AND l.holder = 'task'
               AND l.id <> p_lease), 0);
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
