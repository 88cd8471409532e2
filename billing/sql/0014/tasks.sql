-- Media tasks: what is on its way at a provider, the money held for it, and its one charge (promises 1 and 2).
-- A task's hold is a lease of its own with the task's id: it outlives any process, is counted in what is on
-- hold, and returns by itself if nobody is left to end the task. Locks: wallet, lease, task.

CREATE FUNCTION billing_guard_task() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    allowed billing_mediatask;
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'a task is never removed' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF TG_OP = 'INSERT' THEN
        IF NEW.status <> 'pending' OR NEW.upstream_id <> '' OR NEW.total_nano <> 0 THEN
            RAISE EXCEPTION 'a task begins pending, unknown to any provider and unpaid'
                USING ERRCODE = 'integrity_constraint_violation';
        END IF;
        RETURN NEW;
    END IF;
    allowed := OLD;
    IF OLD.status IN ('succeeded', 'failed') THEN
        -- Ended: only the address of a result that is gone is forgotten.
        allowed.media_url := NEW.media_url;
        IF NEW.media_url <> '' OR allowed IS DISTINCT FROM NEW THEN
            RAISE EXCEPTION 'a task ends once' USING ERRCODE = 'integrity_constraint_violation';
        END IF;
        RETURN NEW;
    END IF;
    -- Open: what it is, whose it is, what is held and until when stay; where it went and its price are set once.
    allowed.status := NEW.status;
    allowed.next_poll_at := NEW.next_poll_at;
    allowed.polls := NEW.polls;
    allowed.attempts := NEW.attempts;
    allowed.finished_at := NEW.finished_at;
    allowed.error_code := NEW.error_code;
    allowed.error_message := NEW.error_message;
    allowed.media_url := NEW.media_url;
    allowed.total_nano := NEW.total_nano;
    IF OLD.upstream_id = '' THEN
        allowed.upstream_id := NEW.upstream_id;
        allowed.credential := NEW.credential;
        allowed.model := NEW.model;
        allowed.provider := NEW.provider;
        allowed.region := NEW.region;
        allowed.dialect := NEW.dialect;
        allowed.offering := NEW.offering;
        allowed.price_version := NEW.price_version;
        allowed.price := NEW.price;
        allowed.quoted_nano := NEW.quoted_nano;
    END IF;
    IF allowed IS DISTINCT FROM NEW OR (OLD.status = 'running' AND NEW.status = 'pending') THEN
        RAISE EXCEPTION 'this of a task does not change' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    -- It ends with its record: the charge of a success, and of a failure that there is none.
    IF NEW.status IN ('succeeded', 'failed') AND NOT EXISTS (
        SELECT FROM billing_usage u
         WHERE u.id = NEW.id AND u.billed = (NEW.status = 'succeeded')
           AND (NOT u.billed OR u.total_nano = NEW.total_nano)
    ) THEN
        RAISE EXCEPTION 'a task ends with its usage on record' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard BEFORE INSERT OR UPDATE OR DELETE ON billing_mediatask
    FOR EACH ROW EXECUTE FUNCTION billing_guard_task();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON billing_mediatask
    FOR EACH STATEMENT EXECUTE FUNCTION billing_refuse_change();

-- Put a task on record and set its highest possible cost aside for it, both or neither. The same task twice is
-- the same task once. granted is 0 where the balance does not cover it; elsewhere as in billing_draw_lease.
CREATE FUNCTION billing_open_task(
    p_task json, p_ttl_s double precision, OUT granted bigint, OUT elsewhere bigint
) LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    task billing_mediatask;
BEGIN
    task := json_populate_record(NULL::billing_mediatask, p_task);
    SELECT t.hold_nano INTO granted FROM billing_mediatask t WHERE t.id = task.id;
    IF FOUND THEN
        elsewhere := 0;
        RETURN;
    END IF;
    SELECT d.granted, d.elsewhere INTO granted, elsewhere
      FROM billing_draw_lease(task.id, task.organization_id, 'task', task.hold_nano, task.hold_nano, p_ttl_s) d;
    IF granted <= 0 THEN
        granted := 0;
        RETURN;
    END IF;
    INSERT INTO billing_mediatask SELECT (task).*;
END $$;

-- How a task ended.
CREATE TYPE billing_task_end AS (
    status text, error_code text, error_message text, media_url text, units jsonb, lines jsonb,
    model_fee_nano bigint, service_fee_nano bigint, attempts jsonb
);

-- End a task: its usage on record, its charge or none, its hold returned, in one transaction. The first end is
-- the end: true where this call made it. A charge that neither the hold nor the balance covers any more is no
-- success.
CREATE FUNCTION billing_finish_task(p_id uuid, p_end json) RETURNS boolean
LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    task billing_mediatask;
    ending billing_task_end;
    ended timestamptz := clock_timestamp();
    refused boolean;
BEGIN
    SELECT * INTO task FROM billing_mediatask WHERE id = p_id;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM 1 FROM billing_account
     WHERE organization_id = task.organization_id AND kind = 'wallet' FOR NO KEY UPDATE;
    SELECT * INTO task FROM billing_mediatask WHERE id = p_id FOR UPDATE;
    IF task.status IN ('succeeded', 'failed') THEN
        RETURN false;
    END IF;
    ending := json_populate_record(NULL::billing_task_end, p_end);
    refused := task.id = ANY (billing_settle(task.id, json_build_array(json_build_object(
        'id', task.id, 'organization_id', task.organization_id, 'lease_id', task.id,
        'key_id', task.key_id, 'key_name', task.key_name, 'created_at', task.created_at,
        'status', ending.status, 'billed', ending.status = 'succeeded',
        'error_code', coalesce(ending.error_code, ''), 'dialect', task.shape, 'modality', task.modality,
        'model_requested', task.model_requested, 'model', task.model, 'provider', task.provider,
        'region', task.region, 'stream', false, 'units', coalesce(ending.units, '{}'),
        'lines', coalesce(ending.lines, '[]'), 'model_fee_nano', coalesce(ending.model_fee_nano, 0),
        'service_fee_nano', coalesce(ending.service_fee_nano, 0),
        'service_fee_bps', task.service_fee_bps, 'service_fee_source', task.service_fee_source,
        'capped', false, 'price_version', task.price_version,
        'attempts', coalesce(ending.attempts, task.attempts), 'routing', task.routing,
        'latency_ms', least((extract(epoch FROM ended - task.created_at) * 1000)::bigint, 2147483647),
        'session_id', task.session_id))));
    PERFORM billing_return_lease(task.id, task.organization_id, 0);
    UPDATE billing_mediatask SET
        status = CASE WHEN refused THEN 'failed' ELSE ending.status END,
        error_code = CASE WHEN refused THEN 'service_unavailable' ELSE coalesce(ending.error_code, '') END,
        error_message = CASE WHEN refused THEN 'The charge could not be covered any more.'
                             ELSE coalesce(ending.error_message, '') END,
        media_url = CASE WHEN refused THEN '' ELSE coalesce(ending.media_url, '') END,
        attempts = coalesce(ending.attempts, task.attempts),
        total_nano = CASE WHEN refused OR ending.status <> 'succeeded' THEN 0
                          ELSE ending.model_fee_nano + ending.service_fee_nano END,
        finished_at = ended
     WHERE id = p_id;
    RETURN true;
END $$;

-- A provider began a task: where it is, under what name, and at what price. False where the task has ended or
-- another provider's word was first; the same word twice is heard once.
CREATE FUNCTION billing_begin_task(p_id uuid, p_made json) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    task billing_mediatask;
    made billing_mediatask;
BEGIN
    SELECT * INTO task FROM billing_mediatask WHERE id = p_id FOR UPDATE;
    made := json_populate_record(task, p_made);
    IF task.upstream_id <> '' OR task.status NOT IN ('pending') THEN
        RETURN task.status IN ('pending', 'running') AND task.upstream_id = made.upstream_id
           AND task.offering = made.offering;
    END IF;
    UPDATE billing_mediatask SET
        upstream_id = made.upstream_id, credential = made.credential, model = made.model, provider = made.provider, region = made.region,
        dialect = made.dialect, offering = made.offering, price_version = made.price_version, price = made.price,
        quoted_nano = made.quoted_nano, attempts = made.attempts
     WHERE id = p_id;
    RETURN true;
END $$;
