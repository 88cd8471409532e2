-- The chain reads one entry, whoever inserts the next: by the index that is in its order, with no other way
-- left to the planner. A plan made on an empty table otherwise reads all entries of the organization for each new one.

ALTER FUNCTION billing_chain_transfer() SET enable_seqscan = off;
ALTER FUNCTION billing_chain_transfer() SET enable_sort = off;
