"""A number that changes with the catalogue, so that a process that has it in memory knows whether it still holds.

The number comes from a sequence: what is rolled back leaves none behind that stands for something else.
"""

from django.db import migrations

VERSION = """
CREATE SEQUENCE routing_catalogue_versions;
CREATE TABLE routing_catalogueversion (
    is_only boolean PRIMARY KEY DEFAULT TRUE CHECK (is_only),
    version bigint NOT NULL
);
INSERT INTO routing_catalogueversion (version) VALUES (nextval('routing_catalogue_versions'));

CREATE OR REPLACE FUNCTION routing_tell_catalogue() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE routing_catalogueversion SET version = nextval('routing_catalogue_versions');
    PERFORM pg_notify('tokenhub_changes', 'catalogue');
    RETURN NULL;
END $$;
"""
UNDO = """
CREATE OR REPLACE FUNCTION routing_tell_catalogue() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('tokenhub_changes', 'catalogue');
    RETURN NULL;
END $$;
DROP TABLE routing_catalogueversion;
DROP SEQUENCE routing_catalogue_versions;
"""


class Migration(migrations.Migration):
    dependencies = [("routing", "0005_credentials")]

    operations = [migrations.RunSQL(VERSION, UNDO)]
