-- The group commit, in which no money pays twice. What this file replaces is in 0018.

-- Record and charge a group. The same group twice is the same group once.
-- Returns the ids it refused: their lease had been reaped, and balance or budget no longer cover them; or their
-- idempotency key is another request's by now. A refused result is recorded as failed and must not be delivered.
CREATE OR REPLACE FUNCTION billing_settle(p_group uuid, p_results json) RETURNS uuid[]
LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    results billing_result[];
    charged_leases uuid[];
    budgeted boolean;
    uncharged uuid[] := '{}';
    claimed uuid[];
    refused_ids uuid[] := '{}';
BEGIN
    INSERT INTO billing_settlement (id, refused, created_at) VALUES (p_group, '{}', clock_timestamp())
        ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        SELECT s.refused INTO refused_ids FROM billing_settlement s WHERE s.id = p_group;
        RETURN refused_ids;
    END IF;

    SELECT array_agg(r) INTO results
      FROM json_populate_recordset(NULL::billing_result, p_results) r;

    PERFORM 1 FROM billing_account a
     WHERE a.kind = 'wallet'
       AND a.organization_id IN (SELECT r.organization_id FROM unnest(results) r WHERE r.billed)
     ORDER BY a.organization_id FOR NO KEY UPDATE;

    budgeted := EXISTS (SELECT FROM unnest(results) r WHERE r.billed AND r.budget_leases <> '{}');
    IF budgeted THEN
        uncharged := billing_over_budget(results);
    END IF;
    claimed := ARRAY(SELECT r.id FROM unnest(results) r WHERE r.billed AND r.claimed);
    IF claimed <> '{}' THEN
        uncharged := uncharged || billing_lost_claims(claimed);
    END IF;

    WITH due AS (
        SELECT r.lease_id, sum(r.model_fee_nano + r.service_fee_nano)::bigint AS nano
          FROM unnest(results) r WHERE r.billed AND r.id <> ALL (uncharged) GROUP BY r.lease_id
    ), charged AS (
        UPDATE billing_lease l SET spent_nano = l.spent_nano + due.nano
          FROM due
         WHERE l.id = due.lease_id AND l.closed_at IS NULL
           AND l.granted_nano - l.spent_nano >= due.nano
        RETURNING l.id
    )
    SELECT coalesce(array_agg(id), '{}') INTO charged_leases FROM charged;

    -- A lease that was reaped under its holder has returned its money: the balance pays as far as it goes.
    IF EXISTS (SELECT FROM unnest(results) r WHERE r.billed AND r.id <> ALL (uncharged)
                  AND r.lease_id <> ALL (charged_leases)) THEN
        SELECT coalesce(array_agg(late.id), '{}') INTO refused_ids FROM (
            -- What this group spent from leases is set aside no more, and its transfers are yet to come.
            SELECT r.id, a.balance_nano - a.leased_nano - a.frozen_nano - coalesce(spent.nano, 0) AS available,
                   sum(r.model_fee_nano + r.service_fee_nano)
                       OVER (PARTITION BY r.organization_id ORDER BY r.id) AS running
              FROM unnest(results) r
              JOIN billing_account a ON a.organization_id = r.organization_id AND a.kind = 'wallet'
              LEFT JOIN (SELECT c.organization_id, sum(c.model_fee_nano + c.service_fee_nano) AS nano
                           FROM unnest(results) c
                          WHERE c.billed AND c.id <> ALL (uncharged) AND c.lease_id = ANY (charged_leases)
                          GROUP BY c.organization_id) spent ON spent.organization_id = r.organization_id
             WHERE r.billed AND r.id <> ALL (uncharged) AND r.lease_id <> ALL (charged_leases)
        ) late WHERE late.running > late.available;
    END IF;
    refused_ids := refused_ids || uncharged;
    IF refused_ids <> '{}' THEN
        UPDATE billing_settlement SET refused = refused_ids WHERE id = p_group;
    END IF;
    IF budgeted THEN
        PERFORM billing_spend_budgets(results, refused_ids);
    END IF;

    INSERT INTO billing_usage (
        id, organization_id, key_id, key_name, created_at, status, billed, error_code, dialect, modality,
        model_requested, model, provider, region, stream, units, lines, model_fee_nano, service_fee_nano,
        service_fee_bps, total_nano, capped, price_version, attempts, routing, latency_ms, first_token_ms,
        session_id, service_fee_source)
    SELECT r.id, r.organization_id, r.key_id, r.key_name, r.created_at,
           CASE WHEN refused THEN 'failed' ELSE r.status END,
           r.billed AND NOT refused,
           CASE WHEN refused THEN 'service_unavailable' ELSE r.error_code END,
           r.dialect, r.modality, r.model_requested, r.model, r.provider, r.region, r.stream, r.units, r.lines,
           r.model_fee_nano, r.service_fee_nano, r.service_fee_bps, r.model_fee_nano + r.service_fee_nano,
           r.capped, r.price_version, r.attempts, r.routing, r.latency_ms, r.first_token_ms, r.session_id,
           coalesce(r.service_fee_source, '')
      FROM (SELECT u.*, u.id = ANY (refused_ids) AS refused FROM unnest(results) u) r;

    INSERT INTO billing_transfer (
        organization_id, kind, debit_account, credit_account, amount_nano, balance_after_nano, sequence,
        reference, description, created_at)
    SELECT r.organization_id, 'usage', 'wallet', 'revenue', r.nano,
           a.balance_nano - sum(r.nano) OVER w, a.sequence + row_number() OVER w,
           'req_' || replace(r.id::text, '-', ''), r.model, clock_timestamp()
      FROM (SELECT u.id, u.organization_id, u.model, u.model_fee_nano + u.service_fee_nano AS nano
              FROM unnest(results) u
             WHERE u.billed AND u.id <> ALL (refused_ids)
               AND u.model_fee_nano + u.service_fee_nano > 0) r
      JOIN billing_account a ON a.organization_id = r.organization_id AND a.kind = 'wallet'
    WINDOW w AS (PARTITION BY r.organization_id ORDER BY r.id);

    RETURN refused_ids;
END $$;
