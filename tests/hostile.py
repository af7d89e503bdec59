"""Names that somebody sends one day: each once broke a parser, a page or a query somewhere.

Belongs here: the names. Not here: what is done with them.
"""

HOSTILE = [
    '"} or {x="',
    "{{ .Labels }}",
    "a\nb\x00\x1b[31m",
    "x" * 10_000,
    "👩‍🚀",
    "<script>alert(1)</script>",
    "\ud800",
    "ends in a backslash\\",
    '\\n is no line break, \\" no quote',
    "one\r\ntwo\u2028three\x85four",
    "\n# EOF\n",
    "\u202eback to front\u202c",
    "' OR 1=1; --",
    " ",
    "what could not be read: \ufffd",
]
"""Ten thousand characters, and half of a surrogate pair, never come from events: these are refused. They are met all the same."""
