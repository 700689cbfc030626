/* The schema. A step is never edited once released: the next one changes what it made. Owner and
 * time lead the keys; tables are clustered by them (WITHOUT ROWID), so that one person's rows lie
 * together. There is no foreign key from conversations to users: one person's data can be moved by
 * itself. */
#include "store/migrations.h"

#include <stdio.h>

enum { APPLICATION_ID = 0x5061726C }; /* "Parl" */

/* What a row takes on disk, roughly. Characters of texts are counted: few are longer than a byte. */
#define REQUEST_BYTES(row) "length(" row "request) + length(" row "answer) + 512"
#define RESPONSE_BYTES(row)                                                                        \
    "length(" row "input) + length(" row "answer) + length(" row "parts) + 512"
/* As much as its metadata may be: that is changed. */
#define THREAD_BYTES(row)      "16384"
#define THREAD_ITEM_BYTES(row) "length(" row "item) + 512"
/* Triggers that count rows as they come and go. Nothing replaces a row, or changes what counts. */
#define KEPT(kind, table, owner, bytes)                                                            \
    "CREATE TRIGGER " table "_came AFTER INSERT ON " table " BEGIN"                                \
    "  INSERT INTO kept_totals (kind, owner, bytes)"                                               \
    "  VALUES ('" kind "', NEW." owner ", " bytes(                                                 \
        "NEW.") ")"                                                                                \
                "  ON CONFLICT (kind, owner) DO UPDATE SET bytes = bytes + excluded.bytes; END;"   \
                "CREATE TRIGGER " table "_went AFTER DELETE ON " table " BEGIN"                    \
                "  UPDATE kept_totals SET bytes = bytes - (" bytes(                                \
                    "OLD.") ")"                                                                    \
                            "  WHERE kind = '" kind "' AND owner = OLD." owner "; END;"

static const char *const steps[] = {
    /* 1: people, conversations, settings */
    "CREATE TABLE users ("
    "  id TEXT NOT NULL PRIMARY KEY,"
    "  email TEXT NOT NULL UNIQUE,"
    "  name TEXT NOT NULL,"
    "  role TEXT NOT NULL CHECK (role IN ('admin', 'user')),"
    "  password_hash TEXT NOT NULL,"
    "  created_ms INTEGER NOT NULL,"
    "  disabled INTEGER NOT NULL CHECK (disabled IN (0, 1))"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE sessions ("
    "  token_hash BLOB NOT NULL PRIMARY KEY CHECK (length(token_hash) = 32),"
    "  user TEXT NOT NULL REFERENCES users (id),"
    "  created_ms INTEGER NOT NULL,"
    "  expires_ms INTEGER NOT NULL"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX sessions_by_expiry ON sessions (expires_ms);"
    "CREATE TABLE keys ("
    "  owner TEXT NOT NULL REFERENCES users (id),"
    "  id TEXT NOT NULL,"
    "  name TEXT NOT NULL,"
    "  prefix TEXT NOT NULL,"
    "  key_hash BLOB NOT NULL UNIQUE CHECK (length(key_hash) = 32),"
    "  pepper_version INTEGER NOT NULL,"
    "  created_ms INTEGER NOT NULL,"
    "  last_used_ms INTEGER NOT NULL,"
    "  revoked INTEGER NOT NULL CHECK (revoked IN (0, 1)),"
    "  PRIMARY KEY (owner, id)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE settings ("
    "  key TEXT NOT NULL PRIMARY KEY,"
    "  value TEXT NOT NULL"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE conversations ("
    "  owner TEXT NOT NULL,"
    "  id TEXT NOT NULL,"
    "  title TEXT NOT NULL,"
    "  model TEXT NOT NULL,"
    "  leaf TEXT,"
    "  created_ms INTEGER NOT NULL,"
    "  updated_ms INTEGER NOT NULL,"
    "  PRIMARY KEY (owner, id)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX conversations_by_time ON conversations (owner, updated_ms, id);"
    "CREATE TABLE messages ("
    "  owner TEXT NOT NULL,"
    "  conversation TEXT NOT NULL,"
    "  id TEXT NOT NULL,"
    "  parent TEXT,"
    "  role TEXT NOT NULL CHECK (role IN ('user', 'assistant')),"
    "  status INTEGER NOT NULL CHECK (status BETWEEN 0 AND 4),"
    "  content TEXT NOT NULL,"
    "  model TEXT NOT NULL,"
    "  finish TEXT NOT NULL,"
    "  error TEXT NOT NULL,"
    "  usage TEXT NOT NULL,"
    "  run TEXT,"
    "  created_ms INTEGER NOT NULL,"
    "  PRIMARY KEY (owner, conversation, id),"
    "  FOREIGN KEY (owner, conversation) REFERENCES conversations (owner, id) ON DELETE CASCADE"
    ") STRICT, WITHOUT ROWID;"
    /* 1 is STORE_STATUS_STREAMING: what a crash left behind is found without reading the rest. */
    "CREATE INDEX messages_streaming ON messages (owner, conversation, id) WHERE status = 1;"
    /* One row, written to prove that the disk takes writes again; see writer.c. */
    "CREATE TABLE probe (id INTEGER PRIMARY KEY CHECK (id = 1), count INTEGER NOT NULL) STRICT;"
    "INSERT INTO probe (id, count) VALUES (1, 0);",

    /* 2: who answered, and why it was not the one that was asked first */
    "ALTER TABLE messages ADD COLUMN route TEXT NOT NULL DEFAULT '';",

    /* 3: what keys may do, and groups of people */
    "ALTER TABLE keys ADD COLUMN expires_ms INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE keys ADD COLUMN models TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE keys ADD COLUMN doors TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE keys ADD COLUMN addresses TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE keys ADD COLUMN keep_bodies_hours INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE keys ADD COLUMN replaces TEXT;"
    "CREATE TABLE groups ("
    "  id TEXT NOT NULL PRIMARY KEY,"
    "  name TEXT NOT NULL UNIQUE,"
    "  created_ms INTEGER NOT NULL"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE group_members ("
    "  user TEXT NOT NULL REFERENCES users (id),"
    "  group_id TEXT NOT NULL REFERENCES groups (id) ON DELETE CASCADE,"
    "  PRIMARY KEY (user, group_id)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX group_members_by_group ON group_members (group_id);",

    /* 4: what keys that keep their bodies have asked and heard */
    "CREATE TABLE request_log ("
    "  key TEXT NOT NULL,"
    "  id TEXT NOT NULL,"
    "  owner TEXT NOT NULL,"
    "  request_id TEXT NOT NULL,"
    "  expires_ms INTEGER NOT NULL,"
    "  method TEXT NOT NULL,"
    "  path TEXT NOT NULL,"
    "  status INTEGER NOT NULL,"
    "  duration_ms INTEGER NOT NULL,"
    "  request BLOB NOT NULL,"
    "  answer BLOB NOT NULL,"
    "  request_bytes INTEGER NOT NULL,"
    "  answer_bytes INTEGER NOT NULL,"
    "  PRIMARY KEY (key, id)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX request_log_by_expiry ON request_log (expires_ms);",

    /* 5: the ledger. A block is what one loop's ledger wrote at once; its number within that ledger
     * tells that it is in already. Days are sums of kind 0 (everything, named ""), 1 (for each
     * group) and 2 (for each tag): whoever reads them chooses one kind, so that nothing counts
     * twice. */
    "CREATE TABLE ledger_blocks ("
    "  place INTEGER NOT NULL PRIMARY KEY,"
    "  ledger TEXT NOT NULL,"
    "  number INTEGER NOT NULL,"
    "  from_ms INTEGER NOT NULL,"
    "  to_ms INTEGER NOT NULL,"
    "  rows INTEGER NOT NULL,"
    "  data BLOB NOT NULL,"
    "  UNIQUE (ledger, number)"
    ") STRICT;"
    "CREATE INDEX ledger_blocks_by_time ON ledger_blocks (to_ms, place, from_ms);"
    "CREATE TABLE usage_days ("
    "  day INTEGER NOT NULL,"
    "  kind INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 2),"
    "  name TEXT NOT NULL,"
    "  user TEXT NOT NULL,"
    "  key TEXT NOT NULL,"
    "  model TEXT NOT NULL,"
    "  target TEXT NOT NULL,"
    " requests INTEGER NOT NULL, attempts INTEGER NOT NULL, errors INTEGER NOT NULL,"
    " interrupted INTEGER NOT NULL, refused INTEGER NOT NULL, cached INTEGER NOT NULL,"
    " shared INTEGER NOT NULL, tokens_input INTEGER NOT NULL, tokens_cached INTEGER NOT NULL,"
    " tokens_written INTEGER NOT NULL, tokens_output INTEGER NOT NULL,"
    " tokens_reasoning INTEGER NOT NULL, cost_nano INTEGER NOT NULL, unpriced INTEGER NOT NULL,"
    "  PRIMARY KEY (kind, day, name, user, key, model, target)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE usage_minutes ("
    "  minute INTEGER NOT NULL,"
    "  model TEXT NOT NULL,"
    "  target TEXT NOT NULL,"
    " requests INTEGER NOT NULL, attempts INTEGER NOT NULL, errors INTEGER NOT NULL,"
    " interrupted INTEGER NOT NULL, refused INTEGER NOT NULL, cached INTEGER NOT NULL,"
    " shared INTEGER NOT NULL, tokens_input INTEGER NOT NULL, tokens_cached INTEGER NOT NULL,"
    " tokens_written INTEGER NOT NULL, tokens_output INTEGER NOT NULL,"
    " tokens_reasoning INTEGER NOT NULL, cost_nano INTEGER NOT NULL, unpriced INTEGER NOT NULL,"
    " duration_count INTEGER NOT NULL, duration_us INTEGER NOT NULL,"
    " duration_0 INTEGER NOT NULL, duration_1 INTEGER NOT NULL, duration_2 INTEGER NOT NULL,"
    " duration_3 INTEGER NOT NULL, duration_4 INTEGER NOT NULL, duration_5 INTEGER NOT NULL,"
    " duration_6 INTEGER NOT NULL, duration_7 INTEGER NOT NULL, duration_8 INTEGER NOT NULL,"
    " duration_9 INTEGER NOT NULL, duration_10 INTEGER NOT NULL, duration_11 INTEGER NOT NULL,"
    " first_count INTEGER NOT NULL, first_us INTEGER NOT NULL, first_0 INTEGER NOT NULL,"
    " first_1 INTEGER NOT NULL, first_2 INTEGER NOT NULL, first_3 INTEGER NOT NULL,"
    " first_4 INTEGER NOT NULL, first_5 INTEGER NOT NULL, first_6 INTEGER NOT NULL,"
    " first_7 INTEGER NOT NULL, first_8 INTEGER NOT NULL, first_9 INTEGER NOT NULL,"
    " first_10 INTEGER NOT NULL, first_11 INTEGER NOT NULL, duration_us_max INTEGER NOT NULL,"
    " first_us_max INTEGER NOT NULL,"
    "  PRIMARY KEY (minute, model, target)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE usage_minute_errors ("
    "  minute INTEGER NOT NULL,"
    "  model TEXT NOT NULL,"
    "  target TEXT NOT NULL,"
    "  class TEXT NOT NULL,"
    "  errors INTEGER NOT NULL,"
    "  PRIMARY KEY (minute, model, target, class)"
    ") STRICT, WITHOUT ROWID;",

    /* 6: limits and budgets; what they are of need not be in the database (models, addresses) */
    "CREATE TABLE quotas ("
    "  kind TEXT NOT NULL,"
    "  id TEXT NOT NULL,"
    "  quota TEXT NOT NULL,"
    "  PRIMARY KEY (kind, id)"
    ") STRICT, WITHOUT ROWID;",

    /* 7: what people made at providers, by requests that were handed through */
    "CREATE TABLE relay_objects ("
    "  owner TEXT NOT NULL," /* empty: the command line's */
    "  kind TEXT NOT NULL,"
    "  id TEXT NOT NULL," /* the provider's */
    "  provider TEXT NOT NULL,"
    "  created_ms INTEGER NOT NULL,"
    "  PRIMARY KEY (owner, kind, id)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX relay_objects_by_time ON relay_objects (kind, created_ms, id);"
    "CREATE INDEX relay_objects_by_id ON relay_objects (kind, id);",

    /* 8: files and batches */
    "CREATE TABLE files ("
    "  owner TEXT NOT NULL,"
    "  id TEXT NOT NULL UNIQUE,"
    "  purpose TEXT NOT NULL,"
    "  name TEXT NOT NULL,"
    "  mime TEXT NOT NULL,"
    "  sha256 TEXT NOT NULL,"
    "  bytes INTEGER NOT NULL CHECK (bytes >= 0),"
    "  created_ms INTEGER NOT NULL,"
    "  expires_ms INTEGER NOT NULL,"
    "  is_begun INTEGER NOT NULL CHECK (is_begun IN (0, 1)),"
    "  PRIMARY KEY (owner, id)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX files_by_expiry ON files (expires_ms) WHERE expires_ms > 0;"
    /* How much all files are together: asked at every upload. */
    "CREATE TABLE files_total (id INTEGER PRIMARY KEY CHECK (id = 1), bytes INTEGER NOT NULL)"
    " STRICT;"
    "INSERT INTO files_total (id, bytes) VALUES (1, 0);"
    "CREATE TRIGGER files_inserted AFTER INSERT ON files BEGIN"
    "  UPDATE files_total SET bytes = bytes + NEW.bytes; END;"
    "CREATE TRIGGER files_updated AFTER UPDATE OF bytes ON files BEGIN"
    "  UPDATE files_total SET bytes = bytes + NEW.bytes - OLD.bytes; END;"
    "CREATE TRIGGER files_deleted AFTER DELETE ON files BEGIN"
    "  UPDATE files_total SET bytes = bytes - OLD.bytes; END;"
    "CREATE TABLE batches ("
    "  owner TEXT NOT NULL,"
    "  id TEXT NOT NULL,"
    "  dialect TEXT NOT NULL,"
    "  endpoint TEXT NOT NULL,"
    "  input TEXT,"
    "  output TEXT,"
    "  failures TEXT,"
    "  status INTEGER NOT NULL CHECK (status BETWEEN 0 AND 7),"
    "  total INTEGER NOT NULL,"
    "  completed INTEGER NOT NULL,"
    "  failed INTEGER NOT NULL,"
    "  metadata TEXT NOT NULL,"
    "  errors TEXT NOT NULL,"
    "  output_seconds INTEGER NOT NULL,"
    "  maker_kind INTEGER NOT NULL,"
    "  maker_key TEXT,"
    "  maker_address TEXT NOT NULL,"
    "  created_ms INTEGER NOT NULL,"
    "  expires_ms INTEGER NOT NULL,"
    "  started_ms INTEGER NOT NULL,"
    "  finalizing_ms INTEGER NOT NULL,"
    "  cancelling_ms INTEGER NOT NULL,"
    "  ended_ms INTEGER NOT NULL,"
    "  PRIMARY KEY (owner, id)"
    ") STRICT, WITHOUT ROWID;"
    /* Below 4 (STORE_BATCH_COMPLETED) they are unfinished. */
    "CREATE INDEX batches_unfinished ON batches (owner, id) WHERE status < 4;"
    "CREATE TABLE batch_lines ("
    "  owner TEXT NOT NULL,"
    "  batch TEXT NOT NULL,"
    "  line INTEGER NOT NULL,"
    "  is_failure INTEGER NOT NULL CHECK (is_failure IN (0, 1)),"
    "  result TEXT NOT NULL,"
    "  PRIMARY KEY (owner, batch, line)"
    ") STRICT;",

    /* 9: answers kept for programs that go on from them by their id; see record_response.c */
    "CREATE TABLE stored_responses ("
    "  owner TEXT NOT NULL,"
    "  id TEXT NOT NULL,"
    "  previous TEXT NOT NULL,"
    "  created_ms INTEGER NOT NULL,"
    "  expires_ms INTEGER NOT NULL,"
    "  model TEXT NOT NULL,"
    "  input TEXT NOT NULL,"
    "  answer TEXT NOT NULL,"
    "  parts TEXT NOT NULL,"
    "  PRIMARY KEY (owner, id)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX stored_responses_by_expiry ON stored_responses (expires_ms);",

    /* 10: how much of what comes by itself one key (of the request log) or person (of kept answers)
     * has, so that the oldest can make room: see record_kept.c */
    "CREATE TABLE kept_totals ("
    "  kind TEXT NOT NULL,"
    "  owner TEXT NOT NULL,"
    "  bytes INTEGER NOT NULL,"
    "  PRIMARY KEY (kind, owner)"
    ") STRICT, WITHOUT ROWID;"
    "INSERT INTO kept_totals (kind, owner, bytes)"
    "  SELECT 'request', key, sum(" REQUEST_BYTES(
        "") ") FROM request_log GROUP BY key;"
            "INSERT INTO kept_totals (kind, owner, bytes)"
            "  SELECT 'response', owner, sum(" RESPONSE_BYTES(
                "") ") FROM stored_responses GROUP BY owner;" KEPT("request", "request_log", "key",
                                                                   REQUEST_BYTES)
                KEPT("response", "stored_responses", "owner",
                     RESPONSE_BYTES) "CREATE INDEX stored_responses_by_age ON stored_responses "
                                     "(owner, expires_ms);",

    /* 11: batches handed on to a provider's own */
    "ALTER TABLE batches ADD COLUMN hand INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE batches ADD COLUMN provider TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE batches ADD COLUMN provider_batch TEXT NOT NULL DEFAULT '';",

    /* 12: how many distinct tags one person has written on one day, for their number has a bound */
    "CREATE TABLE usage_tag_counts ("
    "  day INTEGER NOT NULL,"
    "  user TEXT NOT NULL,"
    "  tags INTEGER NOT NULL,"
    "  PRIMARY KEY (day, user)"
    ") STRICT, WITHOUT ROWID;"
    "INSERT INTO usage_tag_counts (day, user, tags)"
    "  SELECT day, user, count(DISTINCT name) FROM usage_days WHERE kind = 2 GROUP BY day, user;",

    /* 13: conversations of the responses door, and their items in order; see record_thread.c. Both
     * count for one owner, and the items of a thread go with it. */
    "CREATE TABLE response_threads ("
    "  owner TEXT NOT NULL,"
    "  id TEXT NOT NULL,"
    "  created_ms INTEGER NOT NULL,"
    "  expires_ms INTEGER NOT NULL,"
    "  metadata TEXT NOT NULL,"
    "  PRIMARY KEY (owner, id)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX response_threads_by_expiry ON response_threads (expires_ms);"
    "CREATE INDEX response_threads_by_age ON response_threads (owner, expires_ms);"
    "CREATE TABLE response_thread_items ("
    "  owner TEXT NOT NULL,"
    "  thread TEXT NOT NULL,"
    "  place INTEGER NOT NULL,"
    "  id TEXT NOT NULL,"
    "  model TEXT NOT NULL,"
    "  response TEXT NOT NULL,"
    "  item TEXT NOT NULL,"
    "  PRIMARY KEY (owner, thread, place)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX response_thread_items_by_id ON response_thread_items (owner, thread, id);"
    "CREATE TRIGGER response_threads_emptied AFTER DELETE ON response_threads BEGIN"
    "  DELETE FROM response_thread_items WHERE owner = OLD.owner AND thread = OLD.id; END;" KEPT(
        "thread", "response_threads", "owner", THREAD_BYTES)
        KEPT("thread", "response_thread_items", "owner", THREAD_ITEM_BYTES),
};
enum { STEPS = sizeof steps / sizeof steps[0] };

/* Version 0 with nothing in it is a new database. */
static enum err read_version(struct sqlite *sqlite, int64_t *ret_version, struct error *error)
{
    int64_t application = 0, version = 0, objects = 0;
    enum err code;
    if ((code = sqlite_number(sqlite, "PRAGMA application_id", &application, error)) != ERR_OK ||
        (code = sqlite_number(sqlite, "PRAGMA user_version", &version, error)) != ERR_OK ||
        (code = sqlite_number(sqlite, "SELECT count(*) FROM sqlite_schema", &objects, error)) !=
            ERR_OK)
        return code;
    bool empty = application == 0 && version == 0 && objects == 0;
    if (!empty && application != APPLICATION_ID) {
        error_set(error, ERR_CORRUPT, NULL, "parley.db is a database of another program");
        error_remedy(error, "Choose another data directory.");
        return ERR_CORRUPT;
    }
    if (version < 0 || version > STEPS) {
        error_set(error, ERR_CORRUPT, NULL,
                  "the database has schema version %lld; this Parley knows up to %d",
                  (long long)version, (int)STEPS);
        error_remedy(error, "Use the newer Parley that wrote it.");
        return ERR_CORRUPT;
    }
    *ret_version = version;
    return ERR_OK;
}

static enum err apply_step(struct sqlite *sqlite, int64_t step, struct error *error)
{
    char mark[96];
    snprintf(mark, sizeof mark, "PRAGMA application_id = %d; PRAGMA user_version = %lld;",
             (int)APPLICATION_ID, (long long)step + 1);
    enum err code = sqlite_exec(sqlite, "BEGIN IMMEDIATE", error);
    if (code != ERR_OK)
        return code;
    if ((code = sqlite_exec(sqlite, steps[step], error)) == ERR_OK &&
        (code = sqlite_exec(sqlite, mark, error)) == ERR_OK &&
        (code = sqlite_exec(sqlite, "COMMIT", error)) == ERR_OK)
        return ERR_OK;
    if (!sqlite3_get_autocommit(sqlite_handle(sqlite)) &&
        sqlite_exec(sqlite, "ROLLBACK", NULL) != ERR_OK)
        return ERR_STORAGE;
    return code;
}

/* A file system without shared memory leaves the mode as it was, and says so only in the row. */
static enum err switch_to_log(struct sqlite *sqlite, struct error *error)
{
    struct arena *arena = arena_new(1024);
    struct query query = query_begin(sqlite, "PRAGMA journal_mode = WAL");
    bool switched = query_next(&query) && str_eq(query_text(&query, arena), STR("wal"));
    enum err code = query_end(&query, error);
    arena_free(arena);
    if (code == ERR_OK && !switched) {
        code = error_set(error, ERR_STORAGE, NULL,
                         "the file system of the data directory has no shared memory");
        error_remedy(error, "Put it on a local disk.");
    }
    return code;
}

enum err migrations_apply(struct sqlite *sqlite, struct error *error)
{
    return migrations_apply_until(sqlite, STEPS, error);
}

enum err migrations_apply_until(struct sqlite *sqlite, int64_t last, struct error *error)
{
    int64_t version;
    enum err code = read_version(sqlite, &version, error);
    if (code == ERR_OK)
        code = switch_to_log(sqlite, error);
    while (code == ERR_OK && version < last)
        code = apply_step(sqlite, version++, error);
    return code;
}

enum err migrations_verify(struct sqlite *sqlite, struct error *error)
{
    int64_t version;
    enum err code = read_version(sqlite, &version, error);
    if (code == ERR_OK && version != STEPS)
        return error_set(error, ERR_CORRUPT, NULL, "the database has lost its schema");
    return code;
}
