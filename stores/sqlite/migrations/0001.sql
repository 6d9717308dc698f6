-- Ids are 16 bytes, most significant first; times are milliseconds since 1970; `body`, `record`,
-- `progress`, `inbound` and `action` are JSON.

-- The log. `seq` is the commit order, without gaps.
CREATE TABLE events (
    seq     INTEGER PRIMARY KEY,
    id      BLOB NOT NULL UNIQUE,
    trace   BLOB NOT NULL,
    cause   BLOB,
    session TEXT,
    kind    TEXT NOT NULL,
    at      INTEGER NOT NULL,
    run     TEXT,
    body    TEXT NOT NULL
) STRICT;
CREATE INDEX events_run ON events (run) WHERE run IS NOT NULL;

-- The tree of transcripts. What an entry says is read from its event, where it stands once.
CREATE TABLE entries (
    id      BLOB PRIMARY KEY,
    session BLOB NOT NULL,
    parent  BLOB REFERENCES entries (id) CHECK (parent <> id),
    tokens  INTEGER NOT NULL,
    seq     INTEGER NOT NULL REFERENCES events (seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
    key        TEXT NOT NULL PRIMARY KEY,
    agent      TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    record     TEXT NOT NULL
) STRICT;
CREATE INDEX sessions_newest ON sessions (updated_at DESC, key);

-- Tokens of all model calls: one row.
CREATE TABLE usage (
    one         INTEGER PRIMARY KEY CHECK (one = 1),
    input       INTEGER NOT NULL,
    output      INTEGER NOT NULL,
    cache_read  INTEGER NOT NULL,
    cache_write INTEGER NOT NULL
) STRICT;
INSERT INTO usage VALUES (1, 0, 0, 0, 0);

CREATE TABLE inbox (
    id          BLOB NOT NULL PRIMARY KEY,
    channel     TEXT NOT NULL,
    account     TEXT NOT NULL,
    external_id TEXT NOT NULL,
    run         TEXT NOT NULL,
    trace       BLOB NOT NULL,
    received_at INTEGER NOT NULL,
    owner       INTEGER NOT NULL,
    epoch       INTEGER NOT NULL,
    state       TEXT NOT NULL,
    progress    TEXT NOT NULL,
    inbound     TEXT NOT NULL,
    UNIQUE (channel, account, external_id)
) STRICT;
CREATE INDEX inbox_open ON inbox (id) WHERE state <> 'closed';

-- `place` is the order among the target's messages; rows in it stand in the order of queueing.
CREATE TABLE outbox (
    id              BLOB NOT NULL PRIMARY KEY,
    trace           BLOB NOT NULL,
    channel         TEXT NOT NULL,
    account         TEXT NOT NULL,
    chat            TEXT NOT NULL,
    thread          TEXT,
    place           INTEGER NOT NULL,
    part            INTEGER NOT NULL,
    not_before      INTEGER NOT NULL,
    expires_at      INTEGER NOT NULL,
    idempotency_key TEXT NOT NULL,
    owner           INTEGER NOT NULL,
    epoch           INTEGER NOT NULL,
    state           TEXT NOT NULL,
    progress        TEXT NOT NULL,
    action          TEXT NOT NULL,
    external_id     TEXT GENERATED ALWAYS AS (progress ->> '$.external_id') VIRTUAL
) STRICT;
CREATE INDEX outbox_target ON outbox (channel, account, chat, thread, place);
CREATE INDEX outbox_pending ON outbox (channel, account, chat, thread, place, part) WHERE state = 'pending';
CREATE INDEX outbox_dead ON outbox (id) WHERE state = 'dead';
CREATE INDEX outbox_trace ON outbox (trace);

-- An epoch is given once, so it names its lease.
CREATE TABLE leases (
    name  TEXT NOT NULL PRIMARY KEY,
    owner INTEGER NOT NULL,
    epoch INTEGER NOT NULL UNIQUE,
    until INTEGER NOT NULL
) STRICT;

CREATE TABLE pairings (
    channel    TEXT NOT NULL,
    account    TEXT NOT NULL,
    peer       TEXT NOT NULL,
    name       TEXT,
    code       TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (channel, account, peer)
) STRICT, WITHOUT ROWID;

CREATE TABLE grants (
    channel TEXT NOT NULL,
    account TEXT NOT NULL,
    peer    TEXT NOT NULL,
    at      INTEGER NOT NULL,
    PRIMARY KEY (channel, account, peer)
) STRICT, WITHOUT ROWID;

-- The newest event about a device wins; one that was removed leaves a row without a record.
CREATE TABLE devices (
    id     TEXT PRIMARY KEY,
    event  BLOB NOT NULL,
    record TEXT
) STRICT, WITHOUT ROWID;

-- Written to see that the store can be written.
CREATE TABLE probe (
    one   INTEGER PRIMARY KEY CHECK (one = 1),
    count INTEGER NOT NULL
) STRICT;
INSERT INTO probe VALUES (1, 0);
