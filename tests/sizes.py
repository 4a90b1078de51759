"""How large the sized tests are: TAI_TEST_SIZE is "short" (unset means that) or "full"."""

import os


def size(*, short: int, full: int) -> int:
    """The count for this session. Raises ValueError for a size that is neither."""
    match os.environ.get("TAI_TEST_SIZE", "short"):
        case "short":
            return short
        case "full":
            return full
        case other:
            raise ValueError(f"TAI_TEST_SIZE is {other!r}: it must be short or full")
