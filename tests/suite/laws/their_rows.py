"""Writes one row of a shared table as its writers do, reads it back, and judges what comes back by its type.

Reads JSON: `url`, the database; `table`; `ours`, the id of the rows that the engine wrote. Asserts; prints nothing.
On Postgres through psycopg, where a type of a column decides the type in the program; on SQLite, which keeps JSON and
times as text, through the driver that comes with Python.
"""

import json
import sys
from datetime import datetime, timezone

asked = json.load(sys.stdin)
on_sqlite = asked["url"].startswith("sqlite:")
if on_sqlite:
    import sqlite3

    connection = sqlite3.connect(asked["url"].removeprefix("sqlite:"))
    jsonb, time, sign = json.dumps, lambda at: at.isoformat(sep=" "), "?"
else:
    import psycopg
    from psycopg.types.json import Jsonb

    connection = psycopg.connect(asked["url"])
    jsonb, time, sign = Jsonb, lambda at: at, "%s"

AT = datetime(2026, 3, 1, 10, 0, 0, 250000, tzinfo=timezone.utc)


def write(table, **row):
    places = ", ".join([sign] * len(row))
    connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", list(row.values()))
    connection.commit()


def read(table, column, key):
    cursor = connection.execute(f"SELECT * FROM {table} WHERE {column} = {sign}", [key])
    names = [part[0] for part in cursor.description]
    rows = [dict(zip(names, row)) for row in cursor.fetchall()]
    assert rows, f"{table} has a row {key}"
    return rows


def a(kind, value):
    assert type(value) is kind, f"{value!r} is a {type(value).__name__}, not a {kind.__name__}"
    return value


def a_time(value):
    value = datetime.fromisoformat(a(str, value)) if on_sqlite else a(datetime, value)
    assert value.tzinfo is not None
    return value


def a_json(value):
    return json.loads(a(str, value)) if on_sqlite else value


def onboarding_history(ours):
    write("onboarding_history", id="theirs", tenant_id="acme", repo_url="https://github.com/acme/theirs",
          workspace_id=None, fingerprint="f", status="completed", current_state="COMPLETED",
          entities_created=jsonb(["e1"]), created_at=time(AT), failed_at=None, cleaned_up_at=None)
    row = read("onboarding_history", "id", "theirs")[0]
    assert a_time(row["created_at"]) == AT
    assert a(list, a_json(row["entities_created"])) == ["e1"]
    row = read("onboarding_history", "id", ours)[0]
    assert (a(str, row["status"]), row["current_state"]) == ("failed", "VALIDATING"), row
    assert a_time(row["created_at"]) <= a_time(row["failed_at"])
    assert a(list, a_json(row["entities_created"])) and all(a(str, id) for id in a_json(row["entities_created"]))


def onboarding_state(ours):
    write("onboarding_state", onboarding_id="theirs", current_state="REGISTERING",
          context=json.dumps({"entityIds": ["e1"], "n": 1.5}), last_checkpoint=time(AT), updated_at=time(AT))
    row = read("onboarding_state", "onboarding_id", "theirs")[0]
    assert json.loads(a(str, row["context"])) == {"entityIds": ["e1"], "n": 1.5}
    assert a_time(row["last_checkpoint"]) == AT and a_time(row["updated_at"]) == AT
    row = read("onboarding_state", "onboarding_id", ours)[0]
    assert json.loads(a(str, row["context"])) == {"seen": True}
    assert a_time(row["last_checkpoint"]) <= a_time(row["updated_at"])


def onboarding_progress(ours):
    write("onboarding_progress", onboarding_id="theirs", state="REGISTERING", subtask="entity:Component:ledger",
          completed_at=time(AT))
    for id, state in [("theirs", "REGISTERING"), (ours, "RECEIVED")]:
        row = read("onboarding_progress", "onboarding_id", id)[0]
        assert (row["state"], row["subtask"]) == (state, "entity:Component:ledger")
        a_time(row["completed_at"])


def entities(ours):
    write("entities", api_version="backstage.io/v1alpha1", kind="Component", metadata=jsonb({"name": "theirs"}),
          spec=jsonb({"type": "service"}), tenant_id="acme", updated_at=time(AT))
    names = [a(dict, a_json(row["metadata"]))["name"] for row in read("entities", "kind", "Component")]
    assert names == ["ledger", "theirs"], names
    for row in read("entities", "kind", "Component"):
        assert a(str, row["id"]) and a(dict, a_json(row["spec"])) == {"type": "service"}
        a_time(row["updated_at"])


def entity_relationships(ours):
    write("entity_relationships", source_id="e1", target_id="e2")
    write("entity_relationships", source_id="e1", target_id="e2")
    assert len(read("entity_relationships", "source_id", "e1")) == 2
    for row in read("entity_relationships", "target_id", "e2"):
        a(str, row["source_id"])
    assert len(connection.execute("SELECT source_id FROM entity_relationships").fetchall()) == 3


def idempotency_keys(ours):
    write("idempotency_keys", key="charge/theirs", request_path="/charges", request_hash="h", status="COMPLETED",
          response_code=201, response_body=jsonb({"id": 7}), created_at=time(AT), locked_at=None, locked_by=None)
    write("idempotency_keys", key="charge/held", request_path=None, request_hash="h", status="STARTED",
          response_code=None, response_body=None, created_at=time(AT), locked_at=time(AT), locked_by="node-1")
    row = read("idempotency_keys", "key", "charge/theirs")[0]
    assert a(int, row["response_code"]) == 201
    assert a(dict, a_json(row["response_body"])) == {"id": 7}
    assert a_time(row["created_at"]) == AT and row["locked_at"] is None
    assert a_time(read("idempotency_keys", "key", "charge/held")[0]["locked_at"]) == AT
    # What the engine stored for its own callers is JSON for everybody, whatever bytes it was.
    for key, body in [("json", {"id": 7}), ("awkward", {"a": 2, "b": 1}), ("text", "no\ufffd"), ("empty", None)]:
        row = read("idempotency_keys", "key", f"{ours}/{key}")[0]
        assert a(int, row["response_code"]) == 200
        stored = row["response_body"]
        assert (stored if stored is None else a_json(stored)) == body, stored
    # Psycopg makes of a bigint what it makes of an integer; node's driver does not: it knows the type by its number.
    if not on_sqlite:
        code = connection.execute("SELECT response_code FROM idempotency_keys LIMIT 1").description[0].type_code
        assert code == psycopg.adapters.types["int4"].oid, f"{code} is not read as a number by every driver"


def processed_messages(ours):
    write("processed_messages", message_id="theirs", processed_at=time(AT))
    assert a_time(read("processed_messages", "message_id", "theirs")[0]["processed_at"]) == AT
    a_time(read("processed_messages", "message_id", ours)[0]["processed_at"])


globals()[asked["table"]](asked["ours"])
