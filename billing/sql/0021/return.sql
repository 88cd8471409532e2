-- A return never takes: where a charge became durable on its way, and what is left is less than what is kept,
-- nothing was returned, and less than nothing must not be said. What this file replaces is in 0002 and 0016.

-- Give back what a lease neither spent nor keeps; close it where it keeps nothing.
CREATE OR REPLACE FUNCTION billing_return_lease(p_lease uuid, p_organization uuid, p_keep bigint) RETURNS bigint
LANGUAGE plpgsql SET enable_seqscan = off AS $$
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
    returned := greatest(0, lease.granted_nano - lease.spent_nano - greatest(0, p_keep));
    IF p_keep <= 0 THEN
        UPDATE billing_lease SET closed_at = clock_timestamp() WHERE id = p_lease;
    ELSIF returned > 0 THEN
        UPDATE billing_lease SET granted_nano = granted_nano - returned WHERE id = p_lease;
    END IF;
    IF returned > 0 THEN
        PERFORM pg_notify('tokenhub_changes', 'lease_returned:' || p_organization);
    END IF;
    RETURN returned;
END $$;

-- Give back what a share neither spent nor keeps; close it where it keeps nothing.
CREATE OR REPLACE FUNCTION billing_return_budget(p_lease uuid, p_organization uuid, p_keep bigint) RETURNS bigint
LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    share billing_budgetlease;
    returned bigint;
BEGIN
    PERFORM 1 FROM billing_account
     WHERE organization_id = p_organization AND kind = 'wallet' FOR NO KEY UPDATE;
    SELECT * INTO share FROM billing_budgetlease
     WHERE id = p_lease AND organization_id = p_organization AND closed_at IS NULL FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    returned := greatest(0, share.granted_nano - share.spent_nano - greatest(0, p_keep));
    IF p_keep <= 0 THEN
        UPDATE billing_budgetlease SET closed_at = clock_timestamp() WHERE id = p_lease;
    ELSIF returned > 0 THEN
        UPDATE billing_budgetlease SET granted_nano = granted_nano - returned WHERE id = p_lease;
    END IF;
    IF returned > 0 THEN
        PERFORM pg_notify('tokenhub_changes', 'budget_returned:' || share.subject);
    END IF;
    RETURN returned;
END $$;
