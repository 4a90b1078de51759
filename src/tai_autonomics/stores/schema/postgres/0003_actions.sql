-- What became of a tenant's actions, and who has one in flight. Statements repeat the condition, or the planner does not
-- see that the index serves them.
CREATE INDEX receipts_of_actions ON tai.receipts (tenant, seq)
    WHERE type = 'action_attempt' OR type = 'action_result' OR (type = 'transition' AND subject_kind = 'action');
CREATE INDEX due_by_kind ON tai.due (kind, tenant);
