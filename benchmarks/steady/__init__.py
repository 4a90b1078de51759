"""
Load that lasts, by locust: judged by the production checklist's floor (load), or by whether anything grows (soak).

`locustfile.py` in the root is the mix; what it imports from here is standard library only, as locust has an
environment of its own.
"""
