"""The memory store's tables. Append migrations, never edit one that has been released."""

from __future__ import annotations

from tandem_agents.storage import Migration

MIGRATIONS = (
    Migration(
        1,
        """
CREATE TABLE memories (
    id TEXT PRIMARY KEY,
    content TEXT NOT NULL,
    kind TEXT NOT NULL,
    tier TEXT NOT NULL,
    importance REAL NOT NULL,
    subject TEXT NOT NULL DEFAULT '',
    subject_key TEXT NOT NULL DEFAULT '',
    value TEXT NOT NULL DEFAULT '',
    parent TEXT REFERENCES memories(id) ON DELETE CASCADE,
    metadata TEXT NOT NULL DEFAULT '{}',
    created REAL NOT NULL,
    updated REAL NOT NULL,
    faded REAL NOT NULL,
    superseded_by TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX memories_by_parent ON memories(parent, created);
CREATE INDEX memories_by_subject ON memories(subject_key) WHERE subject_key != '';
CREATE INDEX memories_by_words ON memories(lower(content)) WHERE kind = 'note';
CREATE INDEX memories_by_kind ON memories(kind, superseded_by, created);
CREATE TABLE tags (
    memory TEXT NOT NULL REFERENCES memories(id) ON DELETE CASCADE,
    tag TEXT NOT NULL,
    PRIMARY KEY (memory, tag)
) STRICT, WITHOUT ROWID;
CREATE INDEX tags_by_tag ON tags(tag);
CREATE TABLE links (
    source TEXT NOT NULL REFERENCES memories(id) ON DELETE CASCADE,
    target TEXT NOT NULL REFERENCES memories(id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    strength REAL NOT NULL,
    PRIMARY KEY (source, target, kind)
) STRICT, WITHOUT ROWID;
CREATE INDEX links_by_target ON links(target);
CREATE TABLE groups (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL,
    created REAL NOT NULL
) STRICT;
CREATE TABLE group_members (
    group_id TEXT NOT NULL REFERENCES groups(id) ON DELETE CASCADE,
    memory TEXT NOT NULL REFERENCES memories(id) ON DELETE CASCADE,
    added REAL NOT NULL,
    PRIMARY KEY (group_id, memory)
) STRICT, WITHOUT ROWID;
CREATE TABLE vectors (
    memory TEXT PRIMARY KEY REFERENCES memories(id) ON DELETE CASCADE,
    model TEXT NOT NULL,
    vector BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE VIRTUAL TABLE memory_words USING fts5(
    content, subject, value, content='memories', tokenize='porter unicode61 remove_diacritics 2'
);
CREATE TRIGGER memory_words_insert AFTER INSERT ON memories BEGIN
    INSERT INTO memory_words(rowid, content, subject, value) VALUES (new.rowid, new.content, new.subject, new.value);
END;
CREATE TRIGGER memory_words_delete AFTER DELETE ON memories BEGIN
    INSERT INTO memory_words(memory_words, rowid, content, subject, value)
    VALUES ('delete', old.rowid, old.content, old.subject, old.value);
END;
CREATE TRIGGER memory_words_update AFTER UPDATE OF content, subject, value ON memories BEGIN
    INSERT INTO memory_words(memory_words, rowid, content, subject, value)
    VALUES ('delete', old.rowid, old.content, old.subject, old.value);
    INSERT INTO memory_words(rowid, content, subject, value) VALUES (new.rowid, new.content, new.subject, new.value);
END;
""",
    ),
)
