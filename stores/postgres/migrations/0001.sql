-- Times are milliseconds since 1970; `body`, `record`, `progress`, `inbound` and `action` are JSON,
-- kept as text, byte for byte as it was written. Ids of events are 16 bytes like UUIDs, and sort as
-- their events do. In every other text, U+0000 stands as U+0001 `0`, and U+0001 as U+0001 `1`.
-- There are no foreign keys: everything is checked before it is written, under the one lock that
-- every commit holds.

-- The log. `seq` is the commit order, without gaps.
CREATE TABLE events (
    seq      bigint PRIMARY KEY,
    node     bigint NOT NULL,
    id       uuid NOT NULL,
    trace    uuid NOT NULL,
    cause    uuid,
    session  text COLLATE "C",
    kind     text NOT NULL,
    at       bigint NOT NULL,
    run      text COLLATE "C",
    imported boolean NOT NULL,
    body     text NOT NULL
);
CREATE UNIQUE INDEX events_id ON events (id);
CREATE INDEX events_node ON events (node, id);
CREATE INDEX events_run ON events (run, seq) WHERE run IS NOT NULL;
CREATE INDEX events_session ON events (session, id) WHERE session IS NOT NULL;

-- The log as a whole: its newest place, and the tokens of all model calls.
CREATE TABLE log (
    one         integer PRIMARY KEY CHECK (one = 1),
    newest      bigint NOT NULL,
    input       bigint NOT NULL,
    output      bigint NOT NULL,
    cache_read  bigint NOT NULL,
    cache_write bigint NOT NULL
) WITH (fillfactor = 50);
INSERT INTO log VALUES (1, 0, 0, 0, 0, 0);

-- The tree of transcripts. What an entry says is read from its event, where it stands once. `kept`
-- is the oldest entry that a compaction leaves in the prompt.
CREATE TABLE entries (
    id      uuid PRIMARY KEY,
    session uuid NOT NULL,
    parent  uuid CHECK (parent <> id),
    tokens  bigint NOT NULL,
    kept    uuid,
    seq     bigint NOT NULL
);
CREATE INDEX entries_session ON entries (session, seq);

CREATE TABLE sessions (
    key        text COLLATE "C" PRIMARY KEY,
    agent      text COLLATE "C" NOT NULL,
    updated_at bigint NOT NULL,
    record     text NOT NULL
);
CREATE INDEX sessions_newest ON sessions (updated_at DESC, key);

-- The newest event of each session that is gone, so that an older one does not bring it back.
CREATE TABLE gone (
    key    text COLLATE "C" PRIMARY KEY,
    newest uuid NOT NULL
);

CREATE TABLE inbox (
    id          uuid PRIMARY KEY,
    channel     text COLLATE "C" NOT NULL,
    account     text COLLATE "C" NOT NULL,
    external_id text COLLATE "C" NOT NULL,
    run         text COLLATE "C" NOT NULL,
    trace       uuid NOT NULL,
    received_at bigint NOT NULL,
    owner       bigint NOT NULL,
    epoch       bigint NOT NULL,
    state       text NOT NULL,
    progress    text NOT NULL,
    inbound     text NOT NULL,
    UNIQUE (channel, account, external_id)
);
CREATE INDEX inbox_open ON inbox (id) WHERE state <> 'closed';
CREATE INDEX inbox_run ON inbox (run) WHERE state <> 'closed';

-- `target` is channel, account, chat and thread as one key that sorts as they do. `place` is the
-- order among the target's messages, `queued` that among all rows.
CREATE TABLE outbox (
    id              uuid PRIMARY KEY,
    trace           uuid NOT NULL,
    target          text COLLATE "C" NOT NULL,
    channel         text COLLATE "C" NOT NULL,
    account         text COLLATE "C" NOT NULL,
    chat            text COLLATE "C" NOT NULL,
    thread          text COLLATE "C",
    place           bigint NOT NULL,
    part            bigint NOT NULL,
    not_before      bigint NOT NULL,
    expires_at      bigint NOT NULL,
    idempotency_key text NOT NULL,
    owner           bigint NOT NULL,
    epoch           bigint NOT NULL,
    state           text NOT NULL,
    progress        text NOT NULL,
    action          text NOT NULL,
    queued          bigint GENERATED ALWAYS AS IDENTITY
);
CREATE INDEX outbox_target ON outbox (target, place);
CREATE INDEX outbox_pending ON outbox (target, place, part) WHERE state = 'pending';
CREATE INDEX outbox_dead ON outbox (id) WHERE state = 'dead';
CREATE INDEX outbox_done ON outbox (queued) WHERE state <> 'pending';
CREATE INDEX outbox_trace ON outbox (trace, queued);

-- An epoch is given once, so it names its lease. A lease that is revoked has no row.
CREATE SEQUENCE epochs;
CREATE TABLE leases (
    name  text COLLATE "C" PRIMARY KEY,
    owner bigint NOT NULL,
    epoch bigint NOT NULL UNIQUE,
    until bigint NOT NULL
);

-- What is held, and under which lease's epoch. It is free when no lease has that epoch.
CREATE TABLE holdings (
    name    text COLLATE "C" PRIMARY KEY,
    session text COLLATE "C",
    channel text COLLATE "C",
    account text COLLATE "C",
    epoch   bigint NOT NULL
);
CREATE INDEX holdings_account ON holdings (channel, account) WHERE channel IS NOT NULL;

CREATE TABLE pairings (
    channel    text COLLATE "C" NOT NULL,
    account    text COLLATE "C" NOT NULL,
    peer       text COLLATE "C" NOT NULL,
    name       text,
    code       text NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    PRIMARY KEY (channel, account, peer)
);

CREATE TABLE grants (
    channel text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL,
    peer    text COLLATE "C" NOT NULL,
    at      bigint NOT NULL,
    PRIMARY KEY (channel, account, peer)
);

-- The newest event about a device wins; one that was removed leaves a row without a record.
CREATE TABLE devices (
    id     text COLLATE "C" PRIMARY KEY,
    event  uuid NOT NULL,
    record text
);

-- One row for each transaction of the last hour: whether one took effect whose answer was lost.
CREATE TABLE commits (
    token uuid PRIMARY KEY,
    at    timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX commits_at ON commits (at);

-- What is older than the retention. Each session as far as its events were folded, in JSON.
CREATE TABLE bases (
    key    text COLLATE "C" PRIMARY KEY,
    record text NOT NULL
);

-- Lives that are over: the newest id and the last place of their transcripts.
CREATE TABLE ended (
    life  uuid PRIMARY KEY,
    until uuid NOT NULL,
    seq   bigint NOT NULL
);

-- How far the log was looked at and folded, how many events went, and their tokens.
CREATE TABLE snapshot (
    one         integer PRIMARY KEY CHECK (one = 1),
    looked      uuid NOT NULL,
    until       uuid NOT NULL,
    events      bigint NOT NULL,
    input       bigint NOT NULL,
    output      bigint NOT NULL,
    cache_read  bigint NOT NULL,
    cache_write bigint NOT NULL
);
INSERT INTO snapshot
    VALUES (1, '00000000-0000-0000-0000-000000000000', '00000000-0000-0000-0000-000000000000',
    0, 0, 0, 0, 0);
