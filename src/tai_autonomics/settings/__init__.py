"""
Every environment variable that this program reads: typed, with its unit, its default and its bound.

A value is looked for in this order; an empty one is unset, and the first that is set wins:

    command line > environment > NAME_FILE (secrets alone) > .env (dev alone) > dev default > default

A secret's value may also be a reference, gsm://…, to what Secret Manager keeps.

    forms, signing, stores   what a value may look like
    masking                  and what of it may be seen
    places, bounds, table    the variables
    references               a secret that rests elsewhere
    reading                  where a value comes from
    checking                 is it right, and do they agree?
    loading                  the settings in force
    showing                  what an operator sees of them
    features                 what is optional, and whether it is on
"""

from tai_autonomics.settings.features import FEATURES, features, switched_off
from tai_autonomics.settings.forms import Address, Form, Networks, Setting
from tai_autonomics.settings.loading import Loaded, Reread, Settings, firestore_place
from tai_autonomics.settings.reading import FILE_BYTES_MAX, OUR_PREFIXES
from tai_autonomics.settings.references import Fetch, Fetched
from tai_autonomics.settings.showing import Shown, shown
from tai_autonomics.settings.signing import SigningSecrets, WebhookSecrets, WebhookTenants
from tai_autonomics.settings.stores import FIRESTORE, FIRESTORE_COLLECTIONS, IN_MEMORY, POSTGRESQL
from tai_autonomics.settings.table import TABLE

__all__ = [
    "FEATURES",
    "FILE_BYTES_MAX",
    "FIRESTORE",
    "FIRESTORE_COLLECTIONS",
    "IN_MEMORY",
    "OUR_PREFIXES",
    "POSTGRESQL",
    "TABLE",
    "Address",
    "Fetch",
    "Fetched",
    "Form",
    "Loaded",
    "Networks",
    "Reread",
    "Setting",
    "Settings",
    "Shown",
    "SigningSecrets",
    "WebhookSecrets",
    "WebhookTenants",
    "features",
    "firestore_place",
    "shown",
    "switched_off",
]
