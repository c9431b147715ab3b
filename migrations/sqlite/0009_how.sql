-- In which way an action was done, where there is more than one: "open for 10m", "5/s". It stands beside the command,
-- which may hold a payload, so that who only looks can read it.
ALTER TABLE operator_actions ADD COLUMN how TEXT;
