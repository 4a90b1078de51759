"""Which journeys a store has."""

from tests.journey.stores import STORE

# A Firestore database is saved by its engine's own means: test_saving_firestore.py.
collect_ignore = ["test_saving.py"] if STORE == "firestore" else []
