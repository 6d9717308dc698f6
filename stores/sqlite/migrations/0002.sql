-- Many gateways, and logs of other installations.

-- The newest epoch that was given. A lease that is revoked keeps its row, with owner and epoch 0.
CREATE TABLE epochs (
    one  INTEGER PRIMARY KEY CHECK (one = 1),
    last INTEGER NOT NULL
) STRICT;
INSERT INTO epochs SELECT 1, coalesce(max(epoch), 0) FROM leases;
CREATE TABLE leases_2 (
    name  TEXT NOT NULL PRIMARY KEY,
    owner INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    until INTEGER NOT NULL
) STRICT;
INSERT INTO leases_2 SELECT name, owner, epoch, until FROM leases;
DROP TABLE leases;
ALTER TABLE leases_2 RENAME TO leases;
CREATE UNIQUE INDEX leases_epoch ON leases (epoch) WHERE epoch > 0;

-- What is held, and under which lease's epoch. It is free when no lease has that epoch.
CREATE TABLE holdings (
    name    TEXT NOT NULL PRIMARY KEY,
    session TEXT,
    channel TEXT,
    account TEXT,
    epoch   INTEGER NOT NULL
) STRICT;

-- Whether an event comes from another installation's log.
ALTER TABLE events ADD COLUMN imported INTEGER NOT NULL DEFAULT 0;

-- The newest event of each session that is gone, so that an older one does not bring it back.
CREATE TABLE gone (
    key    TEXT NOT NULL PRIMARY KEY,
    newest BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Facts about the file itself: `program` is the version of the program that gave it its schema.
CREATE TABLE meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- How far each session is folded. Its record is JSON in our own words.
UPDATE sessions SET record = json_set(record, '$.newest', '00000000000000000000000000000000');
UPDATE sessions SET record = json_set(record, '$.newest', lower(hex(newest.id)))
    FROM (SELECT session, max(id) AS id FROM events GROUP BY session) AS newest
    WHERE newest.session = sessions.key;

-- What is older than the retention. Each session as far as its events were folded, in JSON.
CREATE TABLE bases (
    key    TEXT NOT NULL PRIMARY KEY,
    record TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Lives that are over: the newest id and the last place of their transcripts.
CREATE TABLE ended (
    life  BLOB NOT NULL PRIMARY KEY,
    until BLOB NOT NULL,
    seq   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX entries_session ON entries (session, seq);

-- One row: how far the log was looked at and folded, how many events went, and their tokens.
CREATE TABLE snapshot (
    one         INTEGER PRIMARY KEY CHECK (one = 1),
    looked      BLOB NOT NULL,
    until       BLOB NOT NULL,
    events      INTEGER NOT NULL,
    input       INTEGER NOT NULL,
    output      INTEGER NOT NULL,
    cache_read  INTEGER NOT NULL,
    cache_write INTEGER NOT NULL
) STRICT;
INSERT INTO snapshot VALUES (1, zeroblob(16), zeroblob(16), 0, 0, 0, 0, 0);
