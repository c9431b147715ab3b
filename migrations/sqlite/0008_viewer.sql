-- Rights are granted on Postgres only.
SELECT 1;
