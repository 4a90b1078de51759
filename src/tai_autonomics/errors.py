"""
The exception tree: what can go wrong, in the words of this house. None of it knows HTTP.

    TaiError
    ├── Malformed                     what came in cannot be understood
    ├── NotCanonical, BrokenChain     bytes that are not what a receipt must be
    ├── BrokenBackup                  a backup that is not what its manifest says
    ├── BrokenArchive                 an archive file that is not what the ledger says
    ├── Unauthenticated, Forbidden    who is calling, and what they may do
    ├── Unknown                       the named thing does not exist
    ├── IdempotencyKeyReused          one key, two different requests
    ├── Overloaded                    a bound was met; nothing was done
    ├── Unavailable                   not now; nothing was decided, or nobody can say
    ├── InvalidSetting, InvalidPlans  the configuration is wrong
    └── InvalidSignals                a file of signals with a mistake in it
"""


class TaiError(Exception):
    """Everything that this program raises on purpose."""


class Malformed(TaiError):
    """Input that cannot be understood. `pointer` is an RFC 6901 JSON pointer to the culprit, or "" for the whole."""

    def __init__(self, reason: str, detail: str, *, pointer: str = "") -> None:
        super().__init__(f"{reason}: {detail}" + (f" at {pointer}" if pointer else ""))
        self.reason, self.detail, self.pointer = reason, detail, pointer


class NotCanonical(TaiError):
    """A value outside the narrowed RFC 8785 profile, or bytes that are not its canonical form."""


class BrokenChain(TaiError):
    """A ledger that does not verify. `step` is the numbered step of ledger/chain.py that failed."""

    def __init__(self, *, tenant: str, seq: int, step: int, detail: str) -> None:
        super().__init__(f"receipt {seq} of {tenant}: step {step}: {detail}")
        self.tenant, self.seq, self.step, self.detail = tenant, seq, step, detail


class BrokenBackup(TaiError):
    """A backup that is not there whole, or is not what its manifest says."""


class BrokenArchive(TaiError):
    """An archive file that does not hold the receipts that are to be dropped, or is not the one that was sealed."""


class HeldBack(TaiError):
    """A hold or a retention forbids what was asked for."""


class BrokenBundle(TaiError):
    """An audit bundle that is not what its manifest says, or whose signature is of other bytes."""


class Unauthenticated(TaiError):
    """No caller could be made of the credential. `reason`: unauthenticated, token_expired or signature_invalid."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


class Forbidden(TaiError):
    """A known caller asks for what it may not. `reason`: role_forbidden or tenant_forbidden."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


class Unknown(TaiError):
    """The thing that was named does not exist."""


class IdempotencyKeyReused(TaiError):
    """The command id is held by a command with other content."""


class Overloaded(TaiError):
    """
    A bound was met, and nothing was done. `reason`: rate_limited (a tenant's, a caller's), overloaded (the instance's).

    `policy` names the bound where the reason alone does not tell it.
    """

    def __init__(self, reason: str, detail: str, *, retry_after_seconds: int = 1, policy: str = "") -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail, self.retry_after_seconds, self.policy = reason, detail, retry_after_seconds, policy


class Unavailable(TaiError):
    """Not now. Each subclass says what is known of the command."""

    reason = "unavailable"


class StoreUnavailable(Unavailable):
    """The store cannot be reached or refuses to work; nothing was written, unless OutcomeUnknown says otherwise."""

    reason = "store_unavailable"


class ConcurrentWrite(Unavailable):
    """Other instances were first until the deadline passed; the command was withdrawn."""

    reason = "conflict"


class OutcomeUnknown(Unavailable):
    """The deadline passed with an append sent and not answered: repeat with the same key."""

    reason = "outcome_unknown"


class Draining(Unavailable):
    """The process is stopping and takes no new command."""

    reason = "draining"


class LedgerNewerThanCode(Unavailable):
    """A ledger holds an event or state version that this release does not know; it is never skipped."""

    reason = "ledger_newer_than_code"


class ClockUntrusted(Unavailable):
    """The own clock is too far from the store's, or from the ledger's newest receipt, to seal anything."""

    reason = "clock_untrusted"


class KeysUnavailable(Unavailable):
    """The keys that would verify this credential cannot be had now."""

    reason = "keys_unavailable"


class InvalidSetting(TaiError):
    """A setting whose value cannot be used: names the variable, the problem and the allowed form."""


class InvalidPlans(TaiError):
    """A plans file with mistakes. `problems` are sentences that start with file:line."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class InvalidSignals(TaiError):
    """A file of signals with a mistake: names the file, the line and what is wrong."""
