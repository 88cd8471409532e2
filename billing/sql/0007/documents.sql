-- Documents that were issued never change: an error is corrected by a credit note.

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON billing_invoice
    FOR EACH STATEMENT EXECUTE FUNCTION billing_refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON billing_invoiceline
    FOR EACH STATEMENT EXECUTE FUNCTION billing_refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON billing_receipt
    FOR EACH STATEMENT EXECUTE FUNCTION billing_refuse_change();

-- Money that came in is on record for good: a paid top-up is only ever refunded.
CREATE FUNCTION billing_guard_top_up() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR NEW.amount_nano <> OLD.amount_nano OR NEW.organization_id <> OLD.organization_id
       OR (OLD.status IN ('succeeded', 'refunded') AND NEW.status NOT IN ('succeeded', 'refunded')) THEN
        RAISE EXCEPTION 'a top-up is not rewritten' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard BEFORE UPDATE OR DELETE ON billing_topup
    FOR EACH ROW EXECUTE FUNCTION billing_guard_top_up();
