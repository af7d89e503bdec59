"""Status pages: the fleet, a model, an incident; as HTML without scripts, and as JSON beside it.

    statuses ──► views ──► render (templates, figures) ──► site (paths, headers, errors)

Belongs here: everything that is only shown to people in a browser. Not here: what is said (the core), metrics and health
endpoints (`whydrift.shell.http_server`).
"""
