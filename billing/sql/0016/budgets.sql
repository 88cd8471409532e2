-- Hard budgets: what a gateway process calls, each one statement. The lock of everything here is the
-- organization's wallet, as for leases and settlements: whoever has it sees all that was spent.

-- What was billed of a subject (a key, or the organization itself) from one day in UTC until before another.
CREATE FUNCTION billing_spent(p_organization uuid, p_subject uuid, p_first date, p_until date) RETURNS bigint
LANGUAGE plpgsql STABLE SET enable_seqscan = off AS $$
DECLARE
    spent bigint;
BEGIN
    IF p_subject = p_organization THEN
        SELECT sum(d.model_fee_nano + d.service_fee_nano) INTO spent FROM billing_usageday d
         WHERE d.organization_id = p_organization AND d.day >= p_first AND d.day < coalesce(p_until, 'infinity');
    ELSE
        SELECT sum(d.model_fee_nano + d.service_fee_nano) INTO spent FROM billing_usageday d
         WHERE d.key_id = p_subject AND d.day >= p_first AND d.day < coalesce(p_until, 'infinity')
           AND d.organization_id = p_organization;
    END IF;
    RETURN coalesce(spent, 0);
END $$;

-- What open shares of one period have not spent.
CREATE FUNCTION billing_shared_out(p_subject uuid, p_first date) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT coalesce(sum(b.granted_nano - b.spent_nano), 0)::bigint
      FROM billing_budgetlease b WHERE b.subject = p_subject AND b.first = p_first AND b.closed_at IS NULL
$$;

-- Add to a share of a budget, opening it with the first draw; as ``billing_draw_lease`` does of a balance.
--   granted: nano-USD added; -1 where the share was closed meanwhile (its holder must open another)
--   elsewhere: nano-USD that other open shares of the period have not spent; used: what is billed
CREATE FUNCTION billing_draw_budget(
    p_lease uuid, p_organization uuid, p_subject uuid, p_limit bigint, p_first date, p_until date,
    p_holder text, p_need bigint, p_want bigint, p_ttl_s double precision,
    OUT granted bigint, OUT available bigint, OUT elsewhere bigint, OUT used bigint
) LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    share billing_budgetlease;
    held bigint;
BEGIN
    IF p_need <= 0 OR p_want < p_need THEN
        RAISE EXCEPTION 'a draw needs 0 < need <= want' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM 1 FROM billing_account
     WHERE organization_id = p_organization AND kind = 'wallet' FOR NO KEY UPDATE;
    UPDATE billing_budgetlease SET closed_at = clock_timestamp()
     WHERE subject = p_subject AND closed_at IS NULL AND expires_at < clock_timestamp() AND id <> p_lease;
    SELECT * INTO share FROM billing_budgetlease WHERE id = p_lease FOR UPDATE;
    used := billing_spent(p_organization, p_subject, p_first, p_until);
    held := billing_shared_out(p_subject, p_first);
    available := greatest(p_limit - used - held, 0);
    IF share.closed_at IS NOT NULL THEN
        granted := -1; elsewhere := 0;
        RETURN;
    END IF;
    elsewhere := held - coalesce(share.granted_nano - share.spent_nano, 0);
    IF available < p_need THEN
        granted := 0;
        IF elsewhere > 0 THEN
            PERFORM pg_notify('tokenhub_changes', 'budget_wanted:' || p_subject);
        END IF;
        RETURN;
    END IF;
    granted := greatest(p_need, least(p_want, available / 4));
    IF share.id IS NULL THEN
        INSERT INTO billing_budgetlease (id, organization_id, subject, limit_nano, first, until, holder,
                                         granted_nano, spent_nano, created_at, expires_at)
        VALUES (p_lease, p_organization, p_subject, p_limit, p_first, p_until, p_holder, granted, 0,
                clock_timestamp(), clock_timestamp() + make_interval(secs => p_ttl_s));
    ELSE
        UPDATE billing_budgetlease
           SET granted_nano = granted_nano + granted,
               expires_at = clock_timestamp() + make_interval(secs => p_ttl_s)
         WHERE id = p_lease;
    END IF;
    available := available - granted;
END $$;

-- Give back what a share neither spent nor keeps; close it where it keeps nothing.
CREATE FUNCTION billing_return_budget(p_lease uuid, p_organization uuid, p_keep bigint) RETURNS bigint
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
    returned := share.granted_nano - share.spent_nano - p_keep;
    IF p_keep <= 0 THEN
        returned := share.granted_nano - share.spent_nano;
        UPDATE billing_budgetlease SET closed_at = clock_timestamp() WHERE id = p_lease;
    ELSIF returned > 0 THEN
        UPDATE billing_budgetlease SET granted_nano = granted_nano - returned WHERE id = p_lease;
    END IF;
    IF returned > 0 THEN
        PERFORM pg_notify('tokenhub_changes', 'budget_returned:' || share.subject);
    END IF;
    RETURN returned;
END $$;

-- Close every share whose time has passed. Safe to run anywhere, at any time, twice.
CREATE FUNCTION billing_reap_budgets() RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    reaped integer;
BEGIN
    PERFORM 1 FROM billing_account a
     WHERE a.kind = 'wallet' AND a.organization_id IN (
           SELECT organization_id FROM billing_budgetlease WHERE closed_at IS NULL AND expires_at < clock_timestamp())
     ORDER BY a.organization_id FOR NO KEY UPDATE;
    WITH closed AS (
        UPDATE billing_budgetlease SET closed_at = clock_timestamp()
         WHERE closed_at IS NULL AND expires_at < clock_timestamp()
        RETURNING subject
    ), told AS (
        SELECT pg_notify('tokenhub_changes', 'budget_returned:' || subject) FROM closed
    )
    SELECT count(*) INTO reaped FROM told;
    RETURN reaped;
END $$;

-- Results that their budgets no longer cover: their share was reaped under its holder, and what is left
-- now goes as far as it goes. The wallets are locked.
CREATE FUNCTION billing_over_budget(p_results billing_result[]) RETURNS uuid[]
LANGUAGE sql SET enable_seqscan = off AS $$
    WITH due AS (
        SELECT r.id, r.model_fee_nano + r.service_fee_nano AS nano, unnest(r.budget_leases) AS lease_id
          FROM unnest(p_results) r WHERE r.billed
    ), total AS (
        SELECT due.lease_id, sum(due.nano) AS nano FROM due GROUP BY due.lease_id
    ), late AS (
        SELECT b.id, b.subject, b.first,
               b.limit_nano - billing_spent(b.organization_id, b.subject, b.first, b.until)
                 - billing_shared_out(b.subject, b.first) AS available
          FROM billing_budgetlease b JOIN total ON total.lease_id = b.id
         WHERE b.closed_at IS NOT NULL OR b.granted_nano - b.spent_nano < total.nano
    ), running AS (
        SELECT due.id, late.available,
               sum(due.nano) OVER (PARTITION BY late.subject, late.first ORDER BY due.id) AS nano
          FROM due JOIN late ON late.id = due.lease_id
    )
    SELECT coalesce(array_agg(DISTINCT id), '{}') FROM running WHERE nano > available
$$;

-- Spend from the shares what is billed; what their usage says is written with it.
CREATE FUNCTION billing_spend_budgets(p_results billing_result[], p_refused uuid[]) RETURNS void
LANGUAGE sql SET enable_seqscan = off AS $$
    UPDATE billing_budgetlease b SET spent_nano = b.spent_nano + due.nano
      FROM (SELECT charge.lease_id, sum(charge.nano)::bigint AS nano
              FROM (SELECT unnest(r.budget_leases) AS lease_id, r.model_fee_nano + r.service_fee_nano AS nano
                      FROM unnest(p_results) r WHERE r.billed AND r.id <> ALL (p_refused)) charge
             GROUP BY charge.lease_id) due
     WHERE b.id = due.lease_id AND b.closed_at IS NULL AND b.granted_nano - b.spent_nano >= due.nano
$$;

-- Whether a month's budget is hard is part of what a gateway knows of a caller.
CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE ON billing_budget
    FOR EACH ROW EXECUTE FUNCTION billing_tell_terms();

-- A task's share of a budget (holder ``task:<id>``) is let go in the transaction that ends the task: what it cost is
-- then in the usage. The wallet is locked there.
CREATE FUNCTION billing_let_go_task_shares() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    UPDATE billing_budgetlease SET closed_at = clock_timestamp()
     WHERE subject IN (NEW.key_id, NEW.organization_id) AND closed_at IS NULL AND holder = 'task:' || NEW.id;
    IF FOUND THEN
        PERFORM pg_notify('tokenhub_changes', 'budget_returned:' || NEW.key_id);
        PERFORM pg_notify('tokenhub_changes', 'budget_returned:' || NEW.organization_id);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER let_go_shares AFTER UPDATE ON billing_mediatask
    FOR EACH ROW WHEN (NEW.status IN ('succeeded', 'failed') AND OLD.status NOT IN ('succeeded', 'failed'))
    EXECUTE FUNCTION billing_let_go_task_shares();
