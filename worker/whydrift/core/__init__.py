"""The pure part: decode, summarise, detect, diagnose, incidents.

Nothing below this package reads a clock, a socket, a file, the environment or a random source; it is handed records
and returns what it wants done (`records.Emit`, `records.Reject`). `tests/architecture` holds it to that.
"""
