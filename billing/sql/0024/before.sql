-- What is not collected of refunds of before, in the order in which wallets are locked everywhere. The version before withholds
-- for disputes alone: its audit_ledger reports these organizations until it is gone.
UPDATE billing_refund r SET collected_nano = r.collected_nano
  FROM (SELECT id FROM billing_refund WHERE status <> 'failed' AND collected_nano < amount_nano
         ORDER BY organization_id, id) owed
 WHERE r.id = owed.id;
