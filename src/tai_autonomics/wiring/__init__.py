"""
The composition root: the one place that knows every part.

    machine      time and chance
    credentials  keys, and the first start's admin token
    policies     the plans in force
    senders      who sends without a token of ours
    actuators    what can be done to the outside world
    secrets      those that are kept elsewhere, asked for
    rotation     secrets that are replaced while the service runs
    tracing      traces, where they go somewhere
    erasures     the list of every erasure, kept with the backups
    house        everything that decides, on an open store
    serving      a house with its front door open
"""

from tai_autonomics.wiring.actuators import Actuators, orders_of
from tai_autonomics.wiring.credentials import issuance, keys, leave_admin_token, provided_kids
from tai_autonomics.wiring.house import House, house, open_store
from tai_autonomics.wiring.machine import SystemClock, SystemEntropy
from tai_autonomics.wiring.policies import plans
from tai_autonomics.wiring.senders import push_kids
from tai_autonomics.wiring.serving import Started, serve

__all__ = [
    "Actuators",
    "House",
    "Started",
    "SystemClock",
    "SystemEntropy",
    "house",
    "issuance",
    "keys",
    "leave_admin_token",
    "open_store",
    "orders_of",
    "plans",
    "provided_kids",
    "push_kids",
    "serve",
]
