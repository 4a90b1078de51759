"""What a scrape of /metrics says, read back."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct
from prometheus_client.parser import text_string_to_metric_families

from tai_autonomics.errors import Malformed

SCRAPE_BYTES_MAX: Final = 16 * 1024 * 1024


class Sample(Struct, frozen=True):
    labels: Mapping[str, str]
    value: float


class Scrape(Struct, frozen=True):
    """The families by name, as a rule names them, and every sample by its series' name."""

    families: frozenset[str]
    samples: Mapping[str, tuple[Sample, ...]]

    def total(self, series: str, **labels: str) -> float:
        """The sum of the samples that have these labels; 0 for none."""
        return sum(
            sample.value for sample in self.samples.get(series, ()) if labels.items() <= dict(sample.labels).items()
        )

    def within(self, before: "Scrape", histogram: str, le: str, **labels: str) -> tuple[float, float] | None:
        """
        How many more than before took at most `le`, and how many more there were; of the samples with these labels.

        None where the two are of different processes, or nothing was counted.
        """
        began = "process_start_time_seconds"
        if self.total(began) != before.total(began):
            return None
        more = self.total(f"{histogram}_count", **labels) - before.total(f"{histogram}_count", **labels)
        within = self.total(f"{histogram}_bucket", le=le, **labels) - before.total(
            f"{histogram}_bucket", le=le, **labels
        )
        return (within, more) if more > 0 else None


def read(text: str) -> Scrape:
    """Raises Malformed where it is not the Prometheus text format."""
    if len(text) > SCRAPE_BYTES_MAX:
        raise Malformed("malformed_request", f"a scrape of {len(text)} characters is longer than {SCRAPE_BYTES_MAX}")
    families, samples = set[str](), dict[str, list[Sample]]()
    try:
        for family in text_string_to_metric_families(text):
            families.add(f"{family.name}_total" if family.type == "counter" else family.name)
            for sample in family.samples:
                samples.setdefault(sample.name, []).append(Sample(sample.labels, sample.value))
    except ValueError as error:
        raise Malformed("malformed_request", f"not the Prometheus text format: {error}") from error
    return Scrape(frozenset(families), {name: tuple(each) for name, each in samples.items()})
