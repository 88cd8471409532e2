-- Balance leases: what a gateway process calls, each one statement. Locks in the order of STYLE.md:
-- wallet, then lease.

-- Add to a lease, opening it with the first draw. Grants what is wanted, but no more than a quarter of
-- what is available beyond the need (others draw too), or nothing where the need is not covered.
--   granted: nano-USD added; -1 where the lease was closed meanwhile (its holder must open another)
--   elsewhere: nano-USD that other open leases of the organization have not spent
CREATE FUNCTION billing_draw_lease(
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
    available := wallet.balance_nano - wallet.leased_nano;

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

-- Give back what a lease neither spent nor keeps; close it where it keeps nothing.
CREATE FUNCTION billing_return_lease(p_lease uuid, p_organization uuid, p_keep bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    lease billing_lease;
    returned bigint;
BEGIN
    PERFORM 1 FROM billing_account
     WHERE organization_id = p_organization AND kind = 'wallet' FOR NO KEY UPDATE;
    SELECT * INTO lease FROM billing_lease
     WHERE id = p_lease AND organization_id = p_organization AND closed_at IS NULL FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    returned := lease.granted_nano - lease.spent_nano - p_keep;
    IF p_keep <= 0 THEN
        returned := lease.granted_nano - lease.spent_nano;
        UPDATE billing_lease SET closed_at = clock_timestamp() WHERE id = p_lease;
    ELSIF returned > 0 THEN
        UPDATE billing_lease SET granted_nano = granted_nano - returned WHERE id = p_lease;
    END IF;
    IF returned > 0 THEN
        PERFORM pg_notify('tokenhub_changes', 'lease_returned:' || p_organization);
    END IF;
    RETURN returned;
END $$;

-- Close every lease whose time has passed. Safe to run anywhere, at any time, twice.
CREATE FUNCTION billing_reap_leases() RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    reaped integer;
BEGIN
    PERFORM 1 FROM billing_account a
     WHERE a.kind = 'wallet' AND a.organization_id IN (
           SELECT organization_id FROM billing_lease WHERE closed_at IS NULL AND expires_at < clock_timestamp())
     ORDER BY a.organization_id FOR NO KEY UPDATE;
    WITH closed AS (
        UPDATE billing_lease SET closed_at = clock_timestamp()
         WHERE closed_at IS NULL AND expires_at < clock_timestamp()
        RETURNING organization_id
    ), told AS (
        SELECT pg_notify('tokenhub_changes', 'lease_returned:' || organization_id) FROM closed
    )
    SELECT count(*) INTO reaped FROM told;
    RETURN reaped;
END $$;
