-- Opening a task, that needs its claim where it has one. What this file replaces is in 0014.

-- Put a task on record and set its highest possible cost aside for it, both or neither. The same task twice is
-- the same task once. granted is 0 where the balance does not cover it; elsewhere as in billing_draw_lease.
-- granted is -1 where the task came with an idempotency key that is another request's by now.
CREATE OR REPLACE FUNCTION billing_open_task(
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
    IF (p_task ->> 'claimed')::boolean AND billing_lost_claims(ARRAY[task.id]) <> '{}' THEN
        granted := -1; elsewhere := 0;
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
