-- A series of document numbers only goes on: no number is given twice, none is forgotten.

CREATE FUNCTION billing_guard_series() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR NEW.prefix <> OLD.prefix OR NEW.last_number < OLD.last_number THEN
        RAISE EXCEPTION 'a series only goes on' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard BEFORE UPDATE OR DELETE ON billing_series
    FOR EACH ROW EXECUTE FUNCTION billing_guard_series();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON billing_series
    FOR EACH STATEMENT EXECUTE FUNCTION billing_refuse_change();
