"""`whydrift demo`: a real model is broken in three ways, and the real worker is watched finding out.

Belongs here: the demo. Not here: anything the worker needs; nothing else imports this package.
"""
