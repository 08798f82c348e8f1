"""Tables of a store, and the numbers by which its file is known."""

from __future__ import annotations

APPLICATION = 0x4E6F7266
"""SQLite's application id of a store: "Norf"."""

VERSION = 1
"""Version of the tables; a store of a higher one is not opened."""

RESERVED = ("key", "group", "error", "seconds", "attempts")
"""Columns of every table that comes out of a store."""

TABLES = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE trials (number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, point TEXT NOT NULL);

CREATE TABLE groups (
    number INTEGER PRIMARY KEY,
    size INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    failures INTEGER NOT NULL DEFAULT 0,
    committed REAL
);
CREATE INDEX pending_groups ON groups (number) WHERE committed IS NULL;

CREATE TABLE seats (
    grp INTEGER NOT NULL,
    seat INTEGER NOT NULL,
    trial INTEGER NOT NULL UNIQUE,
    PRIMARY KEY (grp, seat)
) WITHOUT ROWID;

CREATE TABLE axes (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, kinds TEXT NOT NULL);
CREATE TABLE columns (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, kinds TEXT NOT NULL);
CREATE TABLE layouts (number INTEGER PRIMARY KEY, names TEXT NOT NULL UNIQUE);

CREATE TABLE results (
    trial INTEGER PRIMARY KEY,
    layout INTEGER NOT NULL,
    cells TEXT NOT NULL,
    error TEXT,
    seconds REAL NOT NULL
);
CREATE INDEX failed_results ON results (trial) WHERE error IS NOT NULL;

CREATE TABLE curve_names (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE curves (
    trial INTEGER NOT NULL,
    name INTEGER NOT NULL,
    numbers BLOB NOT NULL,
    missing TEXT,
    PRIMARY KEY (trial, name)
) WITHOUT ROWID;

CREATE TABLE drivers (
    number INTEGER PRIMARY KEY, process INTEGER NOT NULL, host TEXT NOT NULL, started REAL NOT NULL, ended REAL
);
CREATE TABLE attempts (
    number INTEGER PRIMARY KEY,
    grp INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    driver INTEGER NOT NULL,
    worker TEXT NOT NULL,
    started REAL NOT NULL,
    ended REAL,
    error TEXT,
    UNIQUE (grp, attempt)
);

CREATE TABLE totals (
    trials INTEGER NOT NULL,
    finished INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    diverged INTEGER NOT NULL,
    groups INTEGER NOT NULL,
    groups_done INTEGER NOT NULL,
    seconds REAL NOT NULL
);
INSERT INTO totals VALUES (0, 0, 0, 0, 0, 0, 0.0);
"""
