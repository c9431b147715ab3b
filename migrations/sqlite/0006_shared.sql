-- What a compensation is about, where several onboardings may have made or found the same: the last one undoes it.
ALTER TABLE compensations ADD COLUMN resource text;
CREATE INDEX compensations_resource ON compensations (operation, resource) WHERE resource IS NOT NULL;
