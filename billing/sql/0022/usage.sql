-- Months of usage, made while charges go on. What this file replaces is in 0002.
-- CREATE … PARTITION OF locks usage against everybody, and while it waits for one long reader, every charge waits
-- behind it. A table of its own that is attached locks out only who attaches, too; and the default partition, which
-- a charge does not touch while its month has a partition.

-- Make the partition of a month, with what the default partition has of it.
--   added     it is there now
--   crowded   the default partition has more than p_most of its rows: to move them would hold up others for too long
-- Raises lock_not_available where somebody reads: waiting longer would make those wait who come after.
CREATE OR REPLACE FUNCTION billing_add_usage_month(p_first timestamptz, p_most integer) RETURNS text
LANGUAGE plpgsql SET lock_timeout = '500ms' AS $$
DECLARE
    partition text := 'billing_usage_' || to_char(p_first AT TIME ZONE 'UTC', 'YYYYMM');
    low uuid := billing_uuid_at(p_first);
    high uuid := billing_uuid_at((p_first AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC');
    strays bigint;
BEGIN
    LOCK TABLE ONLY billing_usage IN SHARE UPDATE EXCLUSIVE MODE;
    IF to_regclass(partition) IS NOT NULL THEN
        RETURN 'added';  -- by another run, meanwhile
    END IF;
    LOCK TABLE billing_usage_default IN ACCESS EXCLUSIVE MODE;
    SELECT count(*) INTO strays
      FROM (SELECT FROM billing_usage_default WHERE id >= low AND id < high LIMIT p_most::bigint + 1) found;
    IF strays > p_most THEN
        RETURN 'crowded';
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE billing_usage INCLUDING ALL)', partition);
    IF strays > 0 THEN
        -- Usage is append-only, and stays so: what leaves here arrives there, in one statement.
        ALTER TABLE billing_usage_default DISABLE TRIGGER append_only;
        EXECUTE format(
            'WITH moved AS (DELETE FROM billing_usage_default WHERE id >= %L AND id < %L RETURNING *)'
            ' INSERT INTO %I SELECT * FROM moved', low, high, partition);
        ALTER TABLE billing_usage_default ENABLE TRIGGER append_only;
    END IF;
    EXECUTE format('ALTER TABLE billing_usage ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', partition, low, high);
    RETURN 'added';
END $$;

-- The months from last month (a clock may run late) to some ahead that had no partition, and what became of each:
-- added, crowded, or busy (usage is being read: try again later). Safe to call at any time.
CREATE OR REPLACE FUNCTION billing_keep_usage_months(p_ahead integer, p_most integer DEFAULT 50000)
RETURNS TABLE (month text, outcome text) LANGUAGE plpgsql AS $$
DECLARE
    first_day timestamptz;
BEGIN
    FOR i IN -1 .. p_ahead LOOP
        first_day := (date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => i)) AT TIME ZONE 'UTC';
        CONTINUE WHEN to_regclass('billing_usage_' || to_char(first_day AT TIME ZONE 'UTC', 'YYYYMM')) IS NOT NULL;
        month := to_char(first_day AT TIME ZONE 'UTC', 'YYYY-MM');
        IF outcome IS DISTINCT FROM 'busy' THEN  -- the others would wait for the same reader
            BEGIN
                outcome := billing_add_usage_month(first_day, p_most);
            EXCEPTION WHEN lock_not_available THEN
                outcome := 'busy';
            END;
        END IF;
        RETURN NEXT;
    END LOOP;
END $$;

-- What the version before calls.
CREATE OR REPLACE FUNCTION billing_keep_usage_partitions(months_ahead integer) RETURNS integer LANGUAGE sql AS $$
    SELECT count(*)::integer FROM billing_keep_usage_months(months_ahead) WHERE outcome = 'added'
$$;
