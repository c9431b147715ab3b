-- Who only looks sees what a compensation is about, to be told which of them another onboarding relies on.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'redrive_viewer') THEN
        GRANT SELECT (resource) ON compensations TO redrive_viewer;
    END IF;
END $$;
