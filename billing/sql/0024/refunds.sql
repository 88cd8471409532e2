-- What a refund made at Stripe did not find on the balance is withheld from new calls until it is collected, as with a
-- dispute that was lost. Disputes change the wallet's frozen_nano by what they add or end (0007); this works it out anew.

CREATE OR REPLACE FUNCTION billing_apply_refund() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- First the lock, then the sums: whoever had it before has been counted.
    PERFORM 1 FROM billing_account
     WHERE organization_id = NEW.organization_id AND kind = 'wallet' FOR NO KEY UPDATE;
    UPDATE billing_account a SET frozen_nano = w.nano
      FROM (SELECT coalesce((SELECT sum(billing_frozen_nano(d)) FROM billing_dispute d
                              WHERE d.organization_id = NEW.organization_id), 0)
                 + coalesce((SELECT sum(r.amount_nano - r.collected_nano) FROM billing_refund r
                              WHERE r.organization_id = NEW.organization_id AND r.status <> 'failed'), 0) AS nano) w
     WHERE a.organization_id = NEW.organization_id AND a.kind = 'wallet' AND a.frozen_nano <> w.nano;
    IF FOUND THEN
        -- Gateways give back what they hold beyond their calls under way, so that it counts.
        PERFORM pg_notify('tokenhub_changes', 'lease_wanted:' || NEW.organization_id);
    END IF;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER apply AFTER INSERT OR UPDATE ON billing_refund
    FOR EACH ROW EXECUTE FUNCTION billing_apply_refund();
