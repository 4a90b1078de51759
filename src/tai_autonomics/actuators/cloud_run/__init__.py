"""Scaling a Cloud Run service and rolling it back, through Google's client of the Admin API v2."""

from tai_autonomics.actuators.cloud_run.rolling_back import CloudRunRollback
from tai_autonomics.actuators.cloud_run.scaling import CloudRunScale

__all__ = ["CloudRunRollback", "CloudRunScale"]
