-- The refunds of before, in a transaction of its own: the trigger's lock on the table is not held while wallets are
-- waited for. The wallets come first and in the order of their organizations, so that two who wait never wait for each other.
-- The version before withholds for disputes alone: its audit_ledger reports these organizations until it is gone.

WITH wallets AS MATERIALIZED (
    SELECT a.organization_id FROM billing_account a
     WHERE a.kind = 'wallet' AND EXISTS (SELECT FROM billing_refund r WHERE r.organization_id = a.organization_id
                                            AND r.status <> 'failed' AND r.collected_nano < r.amount_nano)
     ORDER BY a.organization_id FOR NO KEY UPDATE
)
UPDATE billing_refund r SET collected_nano = r.collected_nano FROM wallets w
 WHERE r.organization_id = w.organization_id AND r.status <> 'failed' AND r.collected_nano < r.amount_nano;
