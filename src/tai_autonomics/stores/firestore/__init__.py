"""
Firestore, for many instances: documents, conditional commits, no transactions.

    store        the port
    ├── appending    one tenant's append: one commit under conditions, and what it means when that fails
    ├── reading      a ledger's segments, receipts, parts, snapshot
    ├── leasing      due rows, each taken under a condition
    ├── keeping      quarantine and policies
    ├── documents    names and contents of every document
    ├── queries      every query that is made, as firestore.indexes.json must know them
    └── engine       Google's client: calls with time limits, errors in the words of this house

    receipts/{hash}-{tenant}-{first seq}       a segment: the receipts of one append; never changes
    heads/{hash}-{tenant}                      the newest receipt; its update_time is the condition of every append
        claims/{SHA-256 of the command id}     a claimed command id; Firestore deletes it after 30 days (TTL)
        parts/{seq}-{name}                     an erasable part
        snapshots/{number}                     the newest snapshot, in chunks
    erased/{hash}-{tenant}-{seq}-{name}        that a part was taken away, for the list that is kept with backups
    due/{hash}-{tenant}-{hash of its key}      a timer or an effect
    quarantine/{id}, policies/{digest}         each with chunks/{number}, where it is large
    meta/format                                which release's documents these are

`{hash}` is the first 8 hex digits of SHA-256(tenant): names that grow in order would all land on one server.
"""

from tai_autonomics.stores.firestore.store import FirestoreStore

__all__ = ["FirestoreStore"]
