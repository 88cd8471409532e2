-- Usage by day, with writes to the cache for an hour among the tokens read. What this file replaces is in 0010.

-- Sorted, so that whoever writes the same rows at the same time waits instead of deadlocking.
CREATE OR REPLACE FUNCTION billing_add_usage_days(p_sign integer, p_rows billing_usage[]) RETURNS void LANGUAGE sql AS $$
    INSERT INTO billing_usageday AS d (
        organization_id, day, model, provider, region, modality, key_id, key_name, requests, failed, billed,
        input_tokens, cached_tokens, output_tokens, model_fee_nano, service_fee_nano, latency_ms)
    SELECT u.organization_id, (u.created_at AT TIME ZONE 'UTC')::date, u.model, u.provider, u.region, u.modality, u.key_id,
           max(u.key_name), p_sign * count(*),
           p_sign * count(*) FILTER (WHERE u.status = 'failed'),
           p_sign * count(*) FILTER (WHERE u.billed),
           p_sign * coalesce(sum(coalesce((u.units->>'input')::bigint, 0) + coalesce((u.units->>'cached_input')::bigint, 0)
                               + coalesce((u.units->>'cache_write')::bigint, 0)
                               + coalesce((u.units->>'cache_write_1h')::bigint, 0)) FILTER (WHERE u.billed), 0),
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
