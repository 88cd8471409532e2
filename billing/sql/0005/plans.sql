-- Terms in force, read in one place by gateway and console alike; and history that nobody rewrites.

-- What an organization has at an instant: its plan's version, its limits, its fee and where that comes
-- from, and until when at most this answer holds (a future version, agreement, or end).
CREATE FUNCTION billing_terms_at(
    p_organization uuid, p_at timestamptz,
    OUT plan text, OUT rank integer, OUT version_id bigint, OUT agreement_id bigint, OUT rpm integer,
    OUT concurrency integer, OUT fee_bps integer, OUT fee_source text, OUT until timestamptz
) LANGUAGE sql STABLE AS $$
    WITH subscription AS (
        SELECT plan_id, ends_at FROM billing_subscription
         WHERE organization_id = p_organization AND starts_at <= p_at AND (ends_at IS NULL OR ends_at > p_at)
         LIMIT 1
    ), agreement AS (
        SELECT * FROM billing_agreement
         WHERE organization_id = p_organization AND effective_from <= p_at
           AND (effective_until IS NULL OR effective_until > p_at)
         LIMIT 1
    ), version AS (
        SELECT v.*, p.rank FROM billing_planversion v JOIN billing_plan p ON p.slug = v.plan_id
         WHERE v.plan_id = coalesce((SELECT plan_id FROM subscription), 'starter') AND v.effective_from <= p_at
         ORDER BY v.effective_from DESC LIMIT 1
    )
    SELECT v.plan_id, v.rank::integer, v.id, a.id, coalesce(a.rpm, v.rpm), coalesce(a.concurrency, v.concurrency),
           coalesce(a.fee_bps, v.fee_bps),
           CASE WHEN a.fee_bps IS NULL THEN 'plan:' || v.id ELSE 'agreement:' || a.id END,
           least(
               (SELECT ends_at FROM subscription), a.effective_until,
               (SELECT min(starts_at) FROM billing_subscription WHERE organization_id = p_organization AND starts_at > p_at),
               (SELECT min(effective_from) FROM billing_agreement WHERE organization_id = p_organization AND effective_from > p_at),
               (SELECT min(effective_from) FROM billing_planversion WHERE effective_from > p_at))
      FROM version v LEFT JOIN agreement a ON TRUE
$$;

-- One subscription and one agreement at a time; and of what has begun, only the end may move, and not
-- into the past.
CREATE FUNCTION billing_guard_timeline() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    began timestamptz;
    ended timestamptz;
    kept jsonb;
    given jsonb;
    overlapping boolean;
    from_name text := CASE TG_TABLE_NAME WHEN 'billing_subscription' THEN 'starts_at' ELSE 'effective_from' END;
    until_name text := CASE TG_TABLE_NAME WHEN 'billing_subscription' THEN 'ends_at' ELSE 'effective_until' END;
BEGIN
    IF TG_OP <> 'INSERT' THEN
        kept := to_jsonb(OLD);
        began := (kept->>from_name)::timestamptz;
        ended := (kept->>until_name)::timestamptz;
        IF began <= clock_timestamp() THEN
            IF TG_OP = 'DELETE' OR to_jsonb(NEW) - until_name - 'note' <> kept - until_name - 'note'
               OR ended < clock_timestamp() - interval '1 minute' THEN
                RAISE EXCEPTION 'what has been in force is not rewritten: give it an end, and add another'
                    USING ERRCODE = 'integrity_constraint_violation';
            END IF;
        END IF;
        IF TG_OP = 'DELETE' THEN
            RETURN OLD;
        END IF;
    END IF;
    given := to_jsonb(NEW);
    PERFORM pg_advisory_xact_lock(hashtextextended(TG_TABLE_NAME || NEW.organization_id, 0));
    EXECUTE format(
        'SELECT EXISTS (SELECT FROM %I o WHERE o.organization_id = $1 AND o.id <> $2
            AND tstzrange(o.%I, o.%I) && tstzrange($3, $4))', TG_TABLE_NAME, from_name, until_name)
       INTO overlapping
      USING NEW.organization_id, NEW.id, (given->>from_name)::timestamptz, (given->>until_name)::timestamptz;
    IF overlapping THEN
        RAISE EXCEPTION 'another one is in force in that time: end it first'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = TG_TABLE_NAME || '_one_at_a_time';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard BEFORE INSERT OR UPDATE OR DELETE ON billing_subscription
    FOR EACH ROW EXECUTE FUNCTION billing_guard_timeline();
CREATE TRIGGER guard BEFORE INSERT OR UPDATE OR DELETE ON billing_agreement
    FOR EACH ROW EXECUTE FUNCTION billing_guard_timeline();

CREATE FUNCTION billing_guard_plan_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.effective_from <= clock_timestamp() THEN
        RAISE EXCEPTION 'a plan''s version in force is never changed: add a new one'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER guard BEFORE UPDATE OR DELETE ON billing_planversion
    FOR EACH ROW EXECUTE FUNCTION billing_guard_plan_version();

CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE ON billing_subscription
    FOR EACH ROW EXECUTE FUNCTION billing_tell_terms();
CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE ON billing_agreement
    FOR EACH ROW EXECUTE FUNCTION billing_tell_terms();
CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE ON billing_planversion
    FOR EACH STATEMENT EXECUTE FUNCTION billing_tell_plans();
