"""Mends for what the audit finds, made on a copy of the tree and shown before anything is written.

    workspace   the copy, and reading files so that every byte not changed stays as it was
    plan        one rule after the other: audit the copy, change it, check that it still compiles
    patch       the result as a git-style patch, and the way back
    edits       what the code changes share: replacing nodes by place, adding imports
    addresses, sockets, timeouts, health, errors, logs, imports, syntax   one mend each

A change is *certain* when it keeps what the program does apart from the fault; only such changes are written. Everything
else is a suggestion in the diff.
"""
