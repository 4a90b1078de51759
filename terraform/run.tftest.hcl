# What the provider's schema does not know of the service: the checklist's figures, and who may do what.

variables {
  project      = "acme-prod"
  region       = "europe-west1"
  location     = "eur3"
  image        = "europe-west1-docker.pkg.dev/acme-prod/tai-autonomics/tai-autonomics:v1"
  jwt_issuer   = "https://login.example/"
  jwt_audience = "https://entitlements.example"

  secret_settings      = ["MARKETPLACE_WEBHOOK_SECRETS"]
  plans_from_secret    = true
  github_repository    = "acme/entitlements"
  github_repository_id = "4711"
  github_environments  = ["production"]
}

run "the_service_is_as_the_checklist_says" {
  command = plan

  assert {
    condition = (
      google_cloud_run_v2_service.tai[0].template[0].containers[0].resources[0].limits == tomap({ cpu = "1", memory = "512Mi" })
      && google_cloud_run_v2_service.tai[0].template[0].scaling[0].min_instance_count == 1
      && google_cloud_run_v2_service.tai[0].template[0].scaling[0].max_instance_count == 100
      && google_cloud_run_v2_service.tai[0].template[0].timeout == "300s"
      && google_cloud_run_v2_service.tai[0].template[0].containers[0].ports[0].container_port == 8080
    )
    error_message = "1 CPU, 512Mi, 1 to 100 instances, 300 s, port 8080."
  }

  assert {
    condition = alltrue([
      for container in google_cloud_run_v2_service.tai[0].template[0].containers : container.resources[0].cpu_idle == false
    ])
    error_message = "Timers, actions and sidecars run between requests."
  }

  assert {
    condition = (
      google_cloud_run_v2_service.tai[0].template[0].containers[0].startup_probe[0].http_get[0].path == "/health"
      && google_cloud_run_v2_service.tai[0].template[0].containers[0].liveness_probe[0].http_get[0].path == "/health/live"
    )
    error_message = "Traffic once /health answers; a restart only where /health/live does not."
  }

  assert {
    condition = (
      [for container in google_cloud_run_v2_service.tai[0].template[0].containers : container.name]
      == ["tai-autonomics", "prometheus", "traces"]
    )
    error_message = "The service, what scrapes it, what takes its spans."
  }

  assert {
    condition = (
      yamldecode(google_secret_manager_secret_version.scraping.secret_data).spec.endpoints[0].port == 9464
      && local.settings.TAI_METRICS_ADDRESS == "127.0.0.1:9464"
      && google_cloud_run_v2_service.tai[0].template[0].containers[1].volume_mounts[0].mount_path == "/etc/rungmp"
    )
    error_message = "The sidecar scrapes where the service tells its metrics."
  }

  assert {
    condition = (
      local.settings.OTEL_EXPORTER_OTLP_ENDPOINT == "http://localhost:4318"
      && local.collector.receivers.otlp.protocols.http.endpoint == "localhost:4318"
    )
    error_message = "Spans go to the collector beside the service, by OTLP over HTTP."
  }

  assert {
    condition = (
      local.settings.MARKETPLACE_WEBHOOK_SECRETS == "gsm://projects/acme-prod/secrets/tai-autonomics-marketplace-webhook-secrets"
      && !contains(keys(local.settings), "TAI_WEBHOOK_SIGNING_SECRETS")
    )
    error_message = "A secret is named, never told; one that was not asked for is not named."
  }

  assert {
    condition = (
      local.settings.JWT_KEYS == "/etc/tai-autonomics/keys/jwks.json"
      && local.settings.PLANS_FILE == "/etc/tai-autonomics/plans/plans.yaml"
      && !contains(keys(local.settings), "JWT_JWKS_URL")
    )
    error_message = "Keys and plans are files that are mounted."
  }

  assert {
    condition     = google_cloud_run_v2_service.tai[0].deletion_protection
    error_message = "The service must be protected from deletion."
  }

  assert {
    condition     = keys(google_cloud_run_v2_service_iam_member.invoker) == ["allUsers"]
    error_message = "The service is its own door."
  }

  assert {
    condition     = output.capacity.cpus == 300
    error_message = "100 instances of three containers of one CPU."
  }
}

run "pushes_are_signed_tried_again_and_never_lost" {
  command = plan

  override_resource {
    target          = google_pubsub_topic.dead
    values          = { id = "projects/acme-prod/topics/dead" }
    override_during = plan
  }

  override_resource {
    target          = google_service_account.push
    values          = { email = "push@acme-prod.iam.gserviceaccount.com" }
    override_during = plan
  }

  assert {
    condition = (
      google_pubsub_topic.events.name == "erlang-autonomics-events"
      && google_pubsub_subscription.signals.name == "erlang-autonomics-signals"
    )
    error_message = "The names of the checklist."
  }

  assert {
    condition = (
      google_pubsub_subscription.signals.push_config[0].push_endpoint == "${output.url}/pubsub"
      && google_pubsub_subscription.signals.push_config[0].oidc_token[0].audience == local.settings.PUBSUB_PUSH_AUDIENCE
      && google_pubsub_subscription.signals.push_config[0].oidc_token[0].service_account_email == "push@acme-prod.iam.gserviceaccount.com"
      && local.settings.PUBSUB_PUSH_SERVICE_ACCOUNT == "push@acme-prod.iam.gserviceaccount.com"
    )
    error_message = "What Pub/Sub signs is what the service asks for."
  }

  assert {
    condition = (
      google_pubsub_subscription.signals.retry_policy[0].minimum_backoff == "10s"
      && google_pubsub_subscription.signals.retry_policy[0].maximum_backoff == "600s"
      && google_pubsub_subscription.signals.dead_letter_policy[0].dead_letter_topic == "projects/acme-prod/topics/dead"
      && google_pubsub_subscription.dead.topic == "projects/acme-prod/topics/dead"
    )
    error_message = "A message is tried again with growing pauses, and then kept."
  }

  assert {
    condition = alltrue([
      for subscription in [google_pubsub_subscription.signals, google_pubsub_subscription.dead] :
      subscription.expiration_policy[0].ttl == "" && subscription.message_retention_duration == "604800s"
    ])
    error_message = "A subscription is never deleted for being idle, and keeps 7 days."
  }

  assert {
    condition = (
      google_pubsub_topic_iam_member.dead_lettering.role == "roles/pubsub.publisher"
      && google_pubsub_subscription_iam_member.dead_lettering.role == "roles/pubsub.subscriber"
      && google_service_account_iam_member.push.role == "roles/iam.serviceAccountTokenCreator"
      && alltrue([
        for grant in [google_pubsub_topic_iam_member.dead_lettering, google_pubsub_subscription_iam_member.dead_lettering, google_service_account_iam_member.push] :
        endswith(grant.member, "@gcp-sa-pubsub.iam.gserviceaccount.com")
      ])
    )
    error_message = "Without its grants Pub/Sub signs nothing and dead-letters nothing."
  }
}

run "only_one_repository_delivers_and_by_no_key" {
  command = plan

  assert {
    condition     = google_iam_workload_identity_pool_provider.github[0].attribute_condition == "assertion.repository == 'acme/entitlements' && assertion.repository_id == '4711'"
    error_message = "Any repository of GitHub could deliver."
  }

  assert {
    condition     = keys(google_service_account_iam_member.github) == ["production"]
    error_message = "Only jobs of the protected environment deliver."
  }
}

run "delivery_may_do_what_its_scripts_do" {
  command = plan

  variables {
    checklist_key = true
    image_readers = ["serviceAccount:service-7@serverless-robot-prod.iam.gserviceaccount.com"]
  }

  assert {
    condition = (
      contains(local.apis, "ondemandscanning.googleapis.com")
      && google_project_iam_member.scanning[0].role == "roles/ondemandscanning.admin"
    )
    error_message = "deploy/image/scan.sh may not scan."
  }

  assert {
    condition = (
      google_secret_manager_secret_iam_member.checklist[0].secret_id == output.checklist_key
      && google_secret_manager_secret_iam_member.checklist[0].role == "roles/secretmanager.secretAccessor"
      && contains(google_project_iam_custom_role.role["checking"].permissions, "datastore.backupSchedules.list")
      && length(output.image_readers) == 2
    )
    error_message = "deploy/checklist.sh may not read its key, or not see backups."
  }

  assert {
    condition = (
      keys(google_artifact_registry_repository_iam_member.reader) == ["serviceAccount:service-7@serverless-robot-prod.iam.gserviceaccount.com"]
      && alltrue([for grant in google_artifact_registry_repository_iam_member.reader : grant.role == "roles/artifactregistry.reader"])
    )
    error_message = "Whom images are delivered to may not pull them."
  }
}

run "delivery_may_no_more_than_it_is_asked_for" {
  command = plan

  variables {
    builds_images = false
  }

  assert {
    condition = (
      length(google_project_iam_member.scanning) == 0
      && output.checklist_key == null && length(google_secret_manager_secret_iam_member.checklist) == 0
      && length(google_artifact_registry_repository_iam_member.reader) == 0
    )
    error_message = "Where nothing is built and no checklist signs, delivery has rights for it."
  }
}

run "actions_reach_what_is_named_and_nothing_else" {
  command = plan

  variables {
    publish_topics   = ["warnings"]
    steered_services = { web = "web@acme-prod.iam.gserviceaccount.com" }
  }

  assert {
    condition = (
      keys(google_pubsub_topic_iam_member.action) == ["warnings"]
      && keys(google_cloud_run_v2_service_iam_member.steering) == ["web"]
      && google_service_account_iam_member.steering["web@acme-prod.iam.gserviceaccount.com"].service_account_id == "projects/acme-prod/serviceAccounts/web@acme-prod.iam.gserviceaccount.com"
      && length(google_project_iam_member.looking) == 1
    )
    error_message = "An action reaches more, or less, than it was given."
  }
}

run "without_an_image_everything_but_the_service_is_made" {
  command = plan

  variables {
    image                = ""
    github_repository    = ""
    github_repository_id = ""
    jwks_url             = "https://login.example/jwks.json"
    plans_from_secret    = false
    traces               = false
  }

  assert {
    condition = (
      length(google_cloud_run_v2_service.tai) == 0 && output.service == null
      && length(google_cloud_run_v2_service_iam_member.invoker) == 0
    )
    error_message = "The first apply has no image yet."
  }

  assert {
    condition     = length(google_iam_workload_identity_pool.github) == 0 && length(google_service_account_iam_member.github) == 0
    error_message = "Without a repository nothing is federated."
  }

  assert {
    condition     = length(google_cloud_run_v2_service_iam_member.steering) == 0 && length(google_project_iam_member.looking) == 0
    error_message = "Without a service to steer the service steers none."
  }

  assert {
    condition = (
      local.settings.JWT_JWKS_URL == "https://login.example/jwks.json"
      && !contains(keys(local.settings), "JWT_KEYS") && !contains(keys(local.settings), "PLANS_FILE")
      && !contains(keys(local.settings), "OTEL_EXPORTER_OTLP_ENDPOINT") && length(local.mounted) == 0
    )
    error_message = "What is not asked for is not set."
  }
}

run "a_repository_is_named_with_its_number" {
  command = plan

  variables {
    github_repository_id = ""
  }

  expect_failures = [google_iam_workload_identity_pool_provider.github]
}

run "what_cannot_work_is_refused" {
  command = plan

  variables {
    project              = "Acme"
    region               = "Frankfurt"
    service              = "a"
    concurrency          = 1000
    instances            = { min = 0, max = 100 }
    cpu                  = "0.5"
    publishers           = ["allUsers"]
    image_readers        = ["allUsers"]
    ack_deadline_seconds = 10
    delivery_attempts    = 101
    secret_settings      = ["STORE_URL"]
    settings             = { MARKETPLACE_WEBHOOK_SECRETS = "acme=whsec_plain" }
    jwks_url             = "http://login.example/jwks.json"
    url                  = "http://entitlements.example"
    github_repository    = "acme"
    log_days             = 1
  }

  expect_failures = [
    var.ack_deadline_seconds, var.concurrency, var.cpu, var.delivery_attempts, var.github_repository, var.image_readers,
    var.instances, var.jwks_url, var.log_days, var.project, var.publishers, var.region, var.secret_settings, var.service,
    var.settings, var.url,
  ]
}
