"""What a rehearsal did, as a picture: `plot` draws what is collected here step by step."""

from tai_autonomics.application.rehearsing import Step
from tai_autonomics.application.tallying import acts_of
from tai_autonomics.cli.plot import Band, Mark, Picture, Sample, Threshold
from tai_autonomics.domain.governor import SignalObserved, Status
from tai_autonomics.domain.identifiers import MetricName
from tai_autonomics.domain.moments import Moment, datetime_of
from tai_autonomics.domain.plans import Plan
from tai_autonomics.errors import InvalidSignals
from tai_autonomics.policy.thresholds import thresholds_of


class Collected:
    """The measurements of one metric, and what the governor was and did meanwhile. None: of the first that comes."""

    def __init__(self, metric: MetricName | None) -> None:
        self._metric = metric
        self._samples: list[Sample] = []
        self._bands: list[Band] = []
        self._marks: list[Mark] = []
        self._since: tuple[Status, Moment] | None = None

    def add(self, step: Step) -> None:
        for event in step.events:
            if isinstance(event, SignalObserved) and event.metric == (self._metric or event.metric):
                self._metric = event.metric
                self._samples.append(Sample(datetime_of(step.at), float(event.value)))
        self._marks += [Mark(datetime_of(act.at), f"{act.rule}: {act.action}") for act in acts_of(step.events)]
        if self._since is None:
            self._since = step.was, step.at
        if self._since[0] != step.to:
            self._end_band(step.at)
            self._since = step.to, step.at

    def picture(self, *, tenant: str, plan: Plan) -> Picture:
        """Raises InvalidSignals where there is nothing to draw."""
        if not self._samples or self._since is None:
            what = "no signal was observed" if self._metric is None else f"no signal of {self._metric} was observed"
            raise InvalidSignals(f"{what}: there is nothing to draw")
        last = self._samples[-1].at
        status, since = self._since
        open_band = Band(status, datetime_of(since), max(last, datetime_of(since)))
        rules = [rule for rule in plan.governor.rules if rule.signal == self._metric]
        thresholds = [
            Threshold(f"{member} {bound:g}" if len(rules) == 1 else f"{rule.name}: {member} {bound:g}", bound)
            for rule in rules
            for member, bound in thresholds_of(rule, plan.quotas)
        ]
        title = f"{self._metric} of {tenant} under {plan.name}"
        return Picture(title, "", self._samples, thresholds, [*self._bands, open_band], self._marks)

    def _end_band(self, at: Moment) -> None:
        assert self._since is not None
        status, since = self._since
        if since < at:
            self._bands.append(Band(status, datetime_of(since), datetime_of(at)))
