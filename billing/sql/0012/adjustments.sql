-- A balance is adjusted for a reason, and above a limit by two people, whoever writes (DESIGN.md promise 6).

ALTER TABLE billing_adjustment ADD CONSTRAINT adjustment_has_a_reason
    CHECK (char_length(btrim(regexp_replace(reason, '\s+', ' ', 'g'))) >= 10);

CREATE FUNCTION billing_guard_adjustment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'adjustments are kept' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF OLD.status <> 'pending'
       OR (NEW.id, NEW.organization_id, NEW.amount_nano, NEW.reason, NEW.requested_by_id, NEW.requested_at)
          IS DISTINCT FROM (OLD.id, OLD.organization_id, OLD.amount_nano, OLD.reason, OLD.requested_by_id, OLD.requested_at)
    THEN
        RAISE EXCEPTION 'an adjustment is decided once and changed never'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard BEFORE UPDATE OR DELETE ON billing_adjustment
    FOR EACH ROW EXECUTE FUNCTION billing_guard_adjustment();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON billing_adjustment
    FOR EACH STATEMENT EXECUTE FUNCTION billing_refuse_change();

CREATE FUNCTION billing_guard_adjusting() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM billing_adjustment a
         WHERE a.organization_id = NEW.organization_id AND a.status = 'approved'
           AND NEW.reference = 'adjustment:adj_' || replace(a.id::text, '-', '')
           AND a.amount_nano = CASE NEW.credit_account WHEN 'wallet' THEN NEW.amount_nano ELSE -NEW.amount_nano END
    ) THEN
        RAISE EXCEPTION 'an adjustment of the balance needs its approval'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER approved BEFORE INSERT ON billing_transfer
    FOR EACH ROW WHEN (NEW.kind = 'adjustment') EXECUTE FUNCTION billing_guard_adjusting();
