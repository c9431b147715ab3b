-- What a worker can run: the newest version of each workflow, by name. Where it is not known it counts as everything.
ALTER TABLE workers ADD COLUMN runs json;
