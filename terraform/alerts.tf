# What watches the service: an alert policy for each alert, the objectives, and the dashboard. Their queries are on what
# the sidecar scrapes from /metrics, and are written from one source: `python -m observability`.

variable "subscription" {
  description = "The push subscription to POST /pubsub, whose backlog is watched."
  type        = string
  default     = "erlang-autonomics-signals"
}

variable "notification_channels" {
  description = "Who is told: full names of notification channels (projects/P/notificationChannels/N), by severity."
  type = object({
    critical = list(string)
    warning  = list(string)
  })
  default = {
    critical = []
    warning  = []
  }
}

variable "alert_emails" {
  description = "E-mail addresses that are told, by severity; each becomes a notification channel."
  type = object({
    critical = set(string)
    warning  = set(string)
  })
  default = {
    critical = []
    warning  = []
  }
}

variable "runbook" {
  description = "Where docs/RUNBOOK.md can be read by whoever is told: the address of its page, without an anchor."
  type        = string
  default     = "docs/RUNBOOK.md"
}

locals {
  alerts     = jsondecode(file("${path.module}/alerts.json"))
  objectives = jsondecode(replace(file("${path.module}/objectives.json"), "$service", var.service))

  told = {
    for severity in ["critical", "warning"] : severity => concat(
      var.notification_channels[severity],
      [for address in var.alert_emails[severity] : google_monitoring_notification_channel.email[address].name],
    )
  }
}

resource "google_monitoring_notification_channel" "email" {
  for_each = setunion(var.alert_emails.critical, var.alert_emails.warning)

  project      = var.project
  display_name = each.value
  type         = "email"
  labels       = { email_address = each.value }
}

resource "google_monitoring_alert_policy" "alert" {
  for_each = local.alerts

  project      = var.project
  display_name = each.key
  severity     = each.value.severity
  combiner     = "OR"

  conditions {
    display_name = each.value.summary

    condition_prometheus_query_language {
      query = replace(
        replace(each.value.query, "$service", var.service),
        "$subscription", var.subscription,
      )
      duration            = each.value.duration
      evaluation_interval = "30s"
      alert_rule          = each.key
      rule_group          = "tai"

      # A counter with labels is not there before its first event; the policy waits for it.
      disable_metric_validation = true
    }
  }

  documentation {
    subject   = each.value.summary
    content   = "${each.value.summary}\n\nWhat to do: ${var.runbook}#${each.value.anchor}"
    mime_type = "text/markdown"
  }

  alert_strategy {
    auto_close = "1800s"
  }

  notification_channels = local.told[lower(each.value.severity)]

  user_labels = {
    service = var.service
  }
}

resource "google_monitoring_dashboard" "tai" {
  project        = var.project
  dashboard_json = replace(file("${path.module}/dashboard.json"), "$service", var.service)
}

# The objectives over 30 days, for the budgets that Cloud Monitoring draws; the alerts above watch how fast they burn.
resource "google_monitoring_custom_service" "tai" {
  project      = var.project
  service_id   = var.service
  display_name = var.service
}

resource "google_monitoring_slo" "availability" {
  project             = var.project
  service             = google_monitoring_custom_service.tai.service_id
  slo_id              = "availability"
  display_name        = local.objectives.availability.name
  goal                = local.objectives.availability.goal
  rolling_period_days = 30

  request_based_sli {
    good_total_ratio {
      bad_service_filter   = local.objectives.availability.bad
      total_service_filter = local.objectives.availability.total
    }
  }
}

resource "google_monitoring_slo" "latency" {
  project             = var.project
  service             = google_monitoring_custom_service.tai.service_id
  slo_id              = "latency"
  display_name        = local.objectives.latency.name
  goal                = local.objectives.latency.goal
  rolling_period_days = 30

  request_based_sli {
    distribution_cut {
      distribution_filter = local.objectives.latency.times

      range {
        max = local.objectives.latency.seconds_max
      }
    }
  }
}
