# What the provider's schema does not know: that every alert becomes a policy that fires and tells the right people.

variables {
  project      = "acme-prod"
  location     = "eur3"
  region       = "europe-west1"
  jwt_issuer   = "https://login.example/"
  jwt_audience = "https://entitlements.example"
  service      = "entitlements"
  subscription = "entitlement-signals"
  runbook      = "https://wiki.example/runbook"
  notification_channels = {
    critical = ["projects/acme-prod/notificationChannels/1"]
    warning  = ["projects/acme-prod/notificationChannels/2"]
  }
}

run "every_alert_becomes_a_policy" {
  command = plan

  assert {
    condition     = toset(keys(google_monitoring_alert_policy.alert)) == toset(keys(jsondecode(file("alerts.json"))))
    error_message = "An alert has no policy."
  }

  assert {
    condition = alltrue([
      for policy in google_monitoring_alert_policy.alert :
      contains(["CRITICAL", "WARNING"], policy.severity) && policy.combiner == "OR" && policy.enabled != false
    ])
    error_message = "A policy has no severity that Cloud Monitoring knows, or is off."
  }

  assert {
    condition = alltrue([
      for policy in google_monitoring_alert_policy.alert :
      tonumber(trimsuffix(policy.conditions[0].condition_prometheus_query_language[0].duration, "s")) % 60 == 0
    ])
    error_message = "Cloud Monitoring takes a duration in whole minutes."
  }

  assert {
    condition = alltrue([
      for policy in google_monitoring_alert_policy.alert :
      !strcontains(policy.conditions[0].condition_prometheus_query_language[0].query, "$")
    ])
    error_message = "A query has a placeholder that nothing filled in."
  }

  assert {
    condition = strcontains(
      google_monitoring_alert_policy.alert["TaiAbsent"].conditions[0].condition_prometheus_query_language[0].query,
      "namespace=\"entitlements\"",
    )
    error_message = "The watched service is not the one that was named."
  }

  assert {
    condition = strcontains(
      google_monitoring_alert_policy.alert["TaiPubSubBacklog"].conditions[0].condition_prometheus_query_language[0].query,
      "subscription_id=\"entitlement-signals\"",
    )
    error_message = "The watched subscription is not the one that was named."
  }

  assert {
    condition = (
      google_monitoring_alert_policy.alert["TaiStoreUnreachable"].notification_channels == tolist(["projects/acme-prod/notificationChannels/1"])
      && google_monitoring_alert_policy.alert["TaiStoreSlow"].notification_channels == tolist(["projects/acme-prod/notificationChannels/2"])
    )
    error_message = "A policy tells the wrong people."
  }

  assert {
    condition = strcontains(
      google_monitoring_alert_policy.alert["TaiStoreUnreachable"].documentation[0].content,
      "https://wiki.example/runbook#the-store-cannot-be-reached",
    )
    error_message = "A policy does not say what to do."
  }

  assert {
    condition     = length(jsondecode(google_monitoring_dashboard.tai.dashboard_json).mosaicLayout.tiles) > 20
    error_message = "The dashboard has no tiles."
  }

  assert {
    condition = (
      google_monitoring_slo.availability.goal == 0.999 && google_monitoring_slo.availability.rolling_period_days == 30
      && google_monitoring_slo.latency.goal == 0.99 && google_monitoring_slo.latency.rolling_period_days == 30
      && google_monitoring_slo.latency.request_based_sli[0].distribution_cut[0].range[0].max == 0.5
    )
    error_message = "What is promised is 99.9 % without a 5xx and 99 % within 500 ms, over 30 days."
  }

  assert {
    condition = strcontains(
      google_monitoring_slo.availability.request_based_sli[0].good_total_ratio[0].bad_service_filter,
      "resource.labels.namespace=\"entitlements\"",
    )
    error_message = "An objective is not of the service that was named."
  }
}

run "an_address_that_is_named_is_told" {
  command = plan

  variables {
    alert_emails = {
      critical = ["oncall@example.com"]
      warning  = ["oncall@example.com", "platform@example.com"]
    }
  }

  assert {
    condition = (
      keys(google_monitoring_notification_channel.email) == ["oncall@example.com", "platform@example.com"]
      && google_monitoring_notification_channel.email["oncall@example.com"].type == "email"
      && length(google_monitoring_alert_policy.alert) > 20
    )
    error_message = "An address has no channel."
  }
}
