"""Where memories lie."""

import sqlite3

MEMORY_DB = "data/unified_memory.db"


class MemoryStore:
    def __init__(self):
        self.connection = sqlite3.connect(MEMORY_DB, check_same_thread=False)
        self.connection.execute("CREATE TABLE IF NOT EXISTS memories (at REAL, topic TEXT, body TEXT)")

    def add(self, at, topic, body):
        self.connection.execute("INSERT INTO memories VALUES (?, ?, ?)", (at, topic, body))
        self.connection.commit()
