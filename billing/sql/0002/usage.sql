-- Usage, partitioned by month through the time in its UUIDv7 id: a request is found by its id alone.

CREATE TABLE billing_usage (
    id uuid PRIMARY KEY,
    organization_id uuid NOT NULL,
    key_id uuid NOT NULL,
    key_name text NOT NULL,
    created_at timestamptz NOT NULL,
    status text NOT NULL CHECK (status IN ('succeeded', 'failed')),
    billed boolean NOT NULL,
    error_code text NOT NULL,
    dialect text NOT NULL,
    modality text NOT NULL,
    model_requested text NOT NULL,
    model text NOT NULL,
    provider text NOT NULL,
    region text NOT NULL,
    stream boolean NOT NULL,
    units jsonb NOT NULL,
    lines jsonb NOT NULL,
    model_fee_nano bigint NOT NULL CHECK (model_fee_nano >= 0),
    service_fee_nano bigint NOT NULL CHECK (service_fee_nano >= 0),
    service_fee_bps integer NOT NULL,
    total_nano bigint NOT NULL,
    capped boolean NOT NULL,
    price_version bigint,
    attempts jsonb NOT NULL,
    routing jsonb NOT NULL,
    latency_ms integer NOT NULL,
    first_token_ms integer,
    session_id text NOT NULL,
    CONSTRAINT usage_total_is_the_sum CHECK (total_nano = model_fee_nano + service_fee_nano),
    CONSTRAINT usage_bills_only_success CHECK (NOT billed OR status = 'succeeded')
) PARTITION BY RANGE (id);

CREATE INDEX usage_by_organization ON billing_usage (organization_id, id DESC);

-- The smallest UUIDv7 of an instant.
CREATE FUNCTION billing_uuid_at(at timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;

-- Partitions from last month (a clock may run late) to some months ahead. Safe to call at any time.
CREATE FUNCTION billing_keep_usage_partitions(months_ahead integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    created integer := 0;
    first_day timestamptz;
    partition text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('billing_keep_usage_partitions'));
    FOR i IN -1 .. months_ahead LOOP
        first_day := (date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => i)) AT TIME ZONE 'UTC';
        partition := 'billing_usage_' || to_char(first_day AT TIME ZONE 'UTC', 'YYYYMM');
        IF to_regclass(partition) IS NULL THEN
            EXECUTE format(
                'CREATE TABLE %I PARTITION OF billing_usage FOR VALUES FROM (%L) TO (%L)', partition,
                billing_uuid_at(first_day),
                billing_uuid_at((first_day AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC'));
            created := created + 1;
        END IF;
    END LOOP;
    RETURN created;
END $$;

-- What no month covers (a clock far off) is kept, not refused: a settlement must never fail for it.
CREATE TABLE billing_usage_default PARTITION OF billing_usage DEFAULT;
SELECT billing_keep_usage_partitions(3);

-- A row never changes, but for one thing: a result that never reached its client is taken back.
CREATE FUNCTION billing_guard_usage() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    allowed billing_usage;
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.billed AND NOT NEW.billed AND NEW.status = 'failed' THEN
        allowed := OLD;
        allowed.billed := false;
        allowed.status := 'failed';
        allowed.error_code := NEW.error_code;
        IF allowed IS NOT DISTINCT FROM NEW THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'usage is append-only: % is refused', TG_OP USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing_usage
    FOR EACH ROW EXECUTE FUNCTION billing_guard_usage();
