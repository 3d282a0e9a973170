-- Why the API's word on an entry is set aside: it does not go together with the file. Empty where it is in force.
ALTER TABLE registry.entries ADD COLUMN problem text NOT NULL DEFAULT '';
