-- Usage by day, written with the usage itself: totals are read from few rows, and are those of the ledger.

-- Sorted, so that whoever writes the same rows at the same time waits instead of deadlocking.
CREATE FUNCTION billing_add_usage_days(p_sign integer, p_rows billing_usage[]) RETURNS void LANGUAGE sql AS $$
    INSERT INTO billing_usageday AS d (
        organization_id, day, model, provider, region, modality, key_id, key_name, requests, failed, billed,
        input_tokens, cached_tokens, output_tokens, model_fee_nano, service_fee_nano, latency_ms)
    SELECT u.organization_id, (u.created_at AT TIME ZONE 'UTC')::date, u.model, u.provider, u.region, u.modality, u.key_id,
           max(u.key_name), p_sign * count(*),
           p_sign * count(*) FILTER (WHERE u.status = 'failed'),
           p_sign * count(*) FILTER (WHERE u.billed),
           p_sign * coalesce(sum(coalesce((u.units->>'input')::bigint, 0) + coalesce((u.units->>'cached_input')::bigint, 0)
                               + coalesce((u.units->>'cache_write')::bigint, 0)) FILTER (WHERE u.billed), 0),
           p_sign * coalesce(sum(coalesce((u.units->>'cached_input')::bigint, 0)) FILTER (WHERE u.billed), 0),
           p_sign * coalesce(sum(coalesce((u.units->>'output')::bigint, 0) + coalesce((u.units->>'reasoning')::bigint, 0))
                             FILTER (WHERE u.billed), 0),
           p_sign * coalesce(sum(u.model_fee_nano) FILTER (WHERE u.billed), 0),
           p_sign * coalesce(sum(u.service_fee_nano) FILTER (WHERE u.billed), 0),
           p_sign * sum(u.latency_ms)
      FROM unnest(p_rows) u
     GROUP BY 1, 2, 3, 4, 5, 6, 7
     ORDER BY 1, 2, 3, 4, 5, 6, 7
    ON CONFLICT (organization_id, day, model, provider, region, modality, key_id) DO UPDATE SET
        key_name = excluded.key_name,
        requests = d.requests + excluded.requests,
        failed = d.failed + excluded.failed,
        billed = d.billed + excluded.billed,
        input_tokens = d.input_tokens + excluded.input_tokens,
        cached_tokens = d.cached_tokens + excluded.cached_tokens,
        output_tokens = d.output_tokens + excluded.output_tokens,
        model_fee_nano = d.model_fee_nano + excluded.model_fee_nano,
        service_fee_nano = d.service_fee_nano + excluded.service_fee_nano,
        latency_ms = d.latency_ms + excluded.latency_ms
$$;

CREATE FUNCTION billing_roll_up_usage() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        PERFORM billing_add_usage_days(-1, (SELECT array_agg(u::billing_usage) FROM before_rows u));
    END IF;
    PERFORM billing_add_usage_days(1, (SELECT array_agg(u::billing_usage) FROM after_rows u));
    RETURN NULL;
END $$;
CREATE TRIGGER roll_up_insert AFTER INSERT ON billing_usage
    REFERENCING NEW TABLE AS after_rows FOR EACH STATEMENT EXECUTE FUNCTION billing_roll_up_usage();
CREATE TRIGGER roll_up_update AFTER UPDATE ON billing_usage
    REFERENCING OLD TABLE AS before_rows NEW TABLE AS after_rows
    FOR EACH STATEMENT EXECUTE FUNCTION billing_roll_up_usage();

-- What was used before there were days.
DO $$
DECLARE
    month record;
BEGIN
    FOR month IN SELECT DISTINCT date_trunc('day', created_at) AS since FROM billing_usage ORDER BY 1 LOOP
        PERFORM billing_add_usage_days(1, (SELECT array_agg(u) FROM billing_usage u
            WHERE u.created_at >= month.since AND u.created_at < month.since + interval '1 day'));
    END LOOP;
END $$;
