-- Idempotency keys: whose a key is, and the fence that keeps two requests of one key from being charged.
-- Locks: whoever holds a claim's lock for writing waits for nothing but other claims, in the order of their
-- requests. Whoever charges holds it shared, so a claim changes hands before a charge or after it.

-- A result says whether it may be charged only while its request has its claim.
ALTER TYPE billing_result ADD ATTRIBUTE claimed boolean;

-- Whether a request has been answered for money, or will be: its usage is billed, or its video is on its way.
CREATE FUNCTION billing_is_answered(p_request uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM billing_usage u WHERE u.id = p_request AND u.billed)
        OR EXISTS (SELECT FROM billing_mediatask t WHERE t.id = p_request AND t.status <> 'failed')
$$;

-- Take a key for a request; what becomes of it, and which request has it:
--   mine   it may go on         other  the key is of another body
--   busy   one is under way     done   one was answered
-- p_contents are digests of the same content, the current one first. The same request twice is asking once.
-- A claim whose session has gone is taken over, unless its request was answered. One that was charged a moment
-- before its gateway died may not have been delivered: until that is put right it is busy.
CREATE FUNCTION billing_claim_key(
    p_organization uuid, p_key bytea, p_contents bytea[], p_request uuid, OUT outcome text, OUT request uuid
) LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    claim billing_claim;
    session text := current_setting('application_name');
BEGIN
    outcome := 'mine';
    request := p_request;
    INSERT INTO billing_claim (request_id, organization_id, key, content, holder, created_at)
    VALUES (p_request, p_organization, p_key, p_contents[1], session, clock_timestamp())
    ON CONFLICT DO NOTHING;
    IF FOUND THEN
        RETURN;
    END IF;
    SELECT * INTO claim FROM billing_claim
     WHERE organization_id = p_organization AND key = p_key FOR UPDATE;
    IF NOT FOUND THEN
        outcome := 'busy';  -- it ended in between: ask again
        RETURN;
    END IF;
    request := claim.request_id;
    IF claim.content <> ALL (p_contents) THEN
        outcome := 'other';
    ELSIF claim.request_id = p_request THEN
        outcome := 'mine';
    ELSIF claim.finished_at IS NOT NULL THEN
        outcome := 'done';
    ELSIF claim.created_at > clock_timestamp() - interval '1 hour'
          AND EXISTS (SELECT FROM pg_stat_activity s WHERE s.application_name = claim.holder) THEN
        outcome := 'busy';
    ELSIF billing_is_answered(claim.request_id) THEN
        outcome := CASE WHEN EXISTS (
            SELECT FROM billing_transfer t
             WHERE t.organization_id = p_organization
               AND t.reference = 'req_' || replace(claim.request_id::text, '-', '')
               AND t.created_at > clock_timestamp() - interval '1 minute'
        ) THEN 'busy' ELSE 'done' END;
    ELSE
        UPDATE billing_claim
           SET request_id = p_request, holder = session, created_at = clock_timestamp()
         WHERE request_id = claim.request_id;
        request := p_request;
    END IF;
END $$;

-- These requests are over: the claim of one that was answered stays, that of one that failed goes. A claim that
-- was taken over is another request's and is left alone.
CREATE FUNCTION billing_end_claims(p_requests uuid[]) RETURNS void
LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    PERFORM 1 FROM billing_claim WHERE request_id = ANY (p_requests) ORDER BY request_id FOR UPDATE;
    UPDATE billing_claim SET finished_at = clock_timestamp()
     WHERE request_id = ANY (p_requests) AND finished_at IS NULL AND billing_is_answered(request_id);
    DELETE FROM billing_claim WHERE request_id = ANY (p_requests) AND finished_at IS NULL;
END $$;

-- Which of these requests have lost their claim; those that have it keep it until the transaction ends.
CREATE FUNCTION billing_lost_claims(p_requests uuid[]) RETURNS uuid[] LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    PERFORM 1 FROM billing_claim WHERE request_id = ANY (p_requests) ORDER BY request_id FOR SHARE;
    RETURN ARRAY(
        SELECT r FROM unnest(p_requests) r WHERE NOT EXISTS (SELECT FROM billing_claim c WHERE c.request_id = r)
    );
END $$;
