-- Months of usage that were archived: the rows are in a file, their sums are here for good.

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON billing_archivedmonth
    FOR EACH STATEMENT EXECUTE FUNCTION billing_refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON billing_archivedusage
    FOR EACH STATEMENT EXECUTE FUNCTION billing_refuse_change();

-- The month in which the request of a charge or a reversal lies, by the time in its id; NULL for any other reference.
CREATE FUNCTION billing_month_of(reference text) RETURNS date LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN reference ~ 'req_[0-9a-f]{32}$' THEN date_trunc('month',
        to_timestamp(('x' || substr(right(reference, 32), 1, 12))::bit(48)::bigint / 1000.0) AT TIME ZONE 'UTC')::date END
$$;

-- Seal a month and drop its rows, in the caller's transaction: both or neither. p_sums are those of the file: for each
-- organization its requests, the billed ones, and their fees. Usage only gains rows and only loses charges, so rows with
-- the same counts are the same rows.
-- Whoever writes to this month waits meanwhile; everybody else only for the moment of the detaching, and while that waits
-- for a reader at most as long as lock_timeout says: then it lets them go first and tries again, p_tries times.
-- Raises lock_not_available where it came to nothing, and serialization_failure where the rows are not those of the file.
CREATE FUNCTION billing_archive_usage_month(p_month date, p_digest text, p_sums json, p_tries integer) RETURNS void
LANGUAGE plpgsql SET lock_timeout = '200ms' AS $$
DECLARE
    partition text := 'billing_usage_' || to_char(p_month, 'YYYYMM');
BEGIN
    LOCK TABLE ONLY billing_usage IN SHARE UPDATE EXCLUSIVE MODE;
    EXECUTE format('LOCK TABLE %I IN SHARE MODE', partition);
    INSERT INTO billing_archivedmonth (month, digest, archived_at) VALUES (p_month, p_digest, clock_timestamp());
    EXECUTE format(
        'INSERT INTO billing_archivedusage'
        ' (organization_id, month, requests, billed, model_fee_nano, service_fee_nano)'
        ' SELECT organization_id, %L::date, count(*), count(*) FILTER (WHERE billed),'
        '        coalesce(sum(model_fee_nano) FILTER (WHERE billed), 0),'
        '        coalesce(sum(service_fee_nano) FILTER (WHERE billed), 0)'
        '   FROM %I GROUP BY organization_id', p_month, partition);
    IF EXISTS (
        SELECT
          FROM (SELECT organization_id, requests, billed, model_fee_nano, service_fee_nano
                  FROM billing_archivedusage WHERE month = p_month) kept
          FULL JOIN json_to_recordset(p_sums) AS given (
               organization_id uuid, requests bigint, billed bigint, model_fee_nano bigint, service_fee_nano bigint)
            ON given.organization_id = kept.organization_id
         WHERE (kept.requests, kept.billed, kept.model_fee_nano, kept.service_fee_nano)
               IS DISTINCT FROM (given.requests, given.billed, given.model_fee_nano, given.service_fee_nano)
    ) THEN
        RAISE EXCEPTION 'usage of % changed while it was written to the file', p_month
            USING ERRCODE = 'serialization_failure';
    END IF;
    FOR try IN 1 .. p_tries LOOP
        BEGIN
            EXECUTE format('ALTER TABLE billing_usage DETACH PARTITION %I', partition);
            EXIT;
        EXCEPTION WHEN lock_not_available THEN
            IF try = p_tries THEN
                RAISE;
            END IF;
            PERFORM pg_sleep(1);
        END;
    END LOOP;
    EXECUTE format('DROP TABLE %I', partition);
END $$;
