# The service on Cloud Run, with a sidecar that scrapes its metrics and one that takes its spans.

variable "service" {
  description = "The Cloud Run service; Managed Prometheus calls it the namespace of what its sidecar scrapes."
  type        = string
  default     = "tai-autonomics"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,21}[a-z0-9]$", var.service))
    error_message = "6 to 23 of a-z, 0-9 and -, beginning with a letter: accounts are named SERVICE-deploy, in 30 characters."
  }
}

variable "image" {
  description = "The image of the first revision, by tag or digest; later ones are delivery's, and Terraform leaves them. Empty: everything but the service is made."
  type        = string
  default     = ""
}

variable "cpu" {
  description = "The CPU of an instance. The service is one event loop: more than 1 leaves the rest idle."
  type        = string
  default     = "1"

  validation {
    condition     = contains(["1", "2", "4"], var.cpu)
    error_message = "1, 2 or 4: below 1 Cloud Run allows neither several requests at once nor CPU between them."
  }
}

variable "memory" {
  description = "The memory of an instance."
  type        = string
  default     = "512Mi"

  validation {
    condition     = can(regex("^[0-9]+(Mi|Gi)$", var.memory))
    error_message = "As 512Mi or 2Gi."
  }
}

variable "lanes_max" {
  description = "TAI_LANES_MAX: tenants in memory, of some 4.4 KiB each (docs/SCALING.md, P9). 50,000 are 215 MiB, which leaves 512Mi room for Google's clients (some 70 MiB each)."
  type        = number
  default     = 50000

  validation {
    condition     = var.lanes_max >= 1 && var.lanes_max <= 10000000
    error_message = "1 to 10,000,000."
  }
}

variable "concurrency" {
  description = "Requests of one instance at once, before Cloud Run adds another. 80 saturate its one CPU on Firestore (docs/SCALING.md, the ladder: 1,100 commands a second, p99 58 ms at 0.8 of it); more only wait."
  type        = number
  default     = 80

  validation {
    condition     = var.concurrency >= 1 && var.concurrency < 1000
    error_message = "1 to 999: below TAI_REQUESTS_AT_ONCE_MAX (1,000), so that Cloud Run adds instances before one refuses."
  }
}

variable "instances" {
  description = "How many instances run at least and at most. One at least: timers and actions run between requests. The region's quota must hold the most (docs/GCP_DEPLOYMENT.md)."
  type = object({
    min = number
    max = number
  })
  default = { min = 1, max = 100 }

  validation {
    condition     = var.instances.min >= 1 && var.instances.max >= var.instances.min
    error_message = "At least one, and no fewer at most than at least."
  }
}

variable "sidecar" {
  description = "The limits of each sidecar. They are Cloud Run's own defaults, and are billed as the service's are; less than a CPU was not tried."
  type = object({
    cpu    = string
    memory = string
  })
  default = { cpu = "1", memory = "512Mi" }
}

variable "sidecar_images" {
  description = "Google's images of the sidecars, of Managed Prometheus and of its OpenTelemetry Collector; pin them by digest where your policy asks for it."
  type = object({
    prometheus = string
    traces     = string
  })
  default = {
    prometheus = "us-docker.pkg.dev/cloud-ops-agents-artifacts/cloud-run-gmp-sidecar/cloud-run-gmp-sidecar:1.2.0"
    traces     = "us-docker.pkg.dev/cloud-ops-agents-artifacts/google-cloud-opentelemetry-collector/otelcol-google:0.156.0"
  }
}

variable "traces" {
  description = "Whether spans go to Cloud Trace, by a collector beside the service."
  type        = bool
  default     = true
}

variable "trace_ratio" {
  description = "TRACE_SAMPLE_RATIO: the share of traces that is recorded, where the caller has not decided it."
  type        = number
  default     = 0.1

  validation {
    condition     = var.trace_ratio >= 0 && var.trace_ratio <= 1
    error_message = "0 to 1."
  }
}

variable "ingress" {
  description = "Where requests may come from. With a load balancer in front: INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER, and its address as `url`."
  type        = string
  default     = "INGRESS_TRAFFIC_ALL"

  validation {
    condition     = contains(["INGRESS_TRAFFIC_ALL", "INGRESS_TRAFFIC_INTERNAL_ONLY", "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"], var.ingress)
    error_message = "INGRESS_TRAFFIC_ALL, INGRESS_TRAFFIC_INTERNAL_ONLY or INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER."
  }
}

variable "invokers" {
  description = "Who gets past Cloud Run's own door. Everybody (allUsers, --allow-unauthenticated): the service itself asks every caller for a token or a signature (SECURITY.md), in the header that Cloud Run's door would want for its own."
  type        = set(string)
  default     = ["allUsers"]
}

variable "url" {
  description = "The https address that callers use, without a path. Empty: the one that Cloud Run gives (SERVICE-NUMBER.REGION.run.app)."
  type        = string
  default     = ""

  validation {
    condition     = var.url == "" || can(regex("^https://[^/]+$", var.url))
    error_message = "https://HOST, without a path."
  }
}

variable "jwt_issuer" {
  description = "JWT_ISSUER: `iss` of callers' tokens."
  type        = string
}

variable "jwt_audience" {
  description = "JWT_AUDIENCE: `aud` of callers' tokens."
  type        = string
}

variable "jwks_url" {
  description = "JWT_JWKS_URL: where the identity provider's keys are. Empty: public keys in the entry SERVICE-jwt-keys of Secret Manager."
  type        = string
  default     = ""

  validation {
    condition     = var.jwks_url == "" || startswith(var.jwks_url, "https://")
    error_message = "An https URL."
  }
}

variable "settings" {
  description = "Further settings of docs/CONFIG.md, by their names. Never a secret: those are secret_settings."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.settings) : !strcontains(name, "SECRET") && !contains(["STORE_URL", "PORT", "HOST"], name)])
    error_message = "Secrets come from secret_settings; STORE_URL, PORT and HOST are decided here."
  }
}

variable "deletion_protection" {
  description = "Whether Terraform refuses to delete the service and its secrets. Only whoever takes everything away sets it to false first."
  type        = bool
  default     = true
}

locals {
  # Cloud Run's address can be told before the service is there: the subscription and the service name it to each other.
  url           = var.url == "" ? "https://${var.service}-${data.google_project.this.number}.${var.region}.run.app" : var.url
  push_audience = "${local.url}/pubsub"
  metrics_port  = 9464
  spans_port    = 4318
  mounts        = "/etc/tai-autonomics"

  # tests/house/test_terraform_settings.py reads this block as the service would.
  environment = {
    ENVIRONMENT                 = var.environment
    STORE_URL                   = "firestore://"
    FIRESTORE_DATABASE          = google_firestore_database.ledgers.name
    FIRESTORE_COLLECTION        = var.receipts_collection
    GCP_PROJECT_ID              = var.project
    TAI_GCP_REGION              = var.region
    JWT_ISSUER                  = var.jwt_issuer
    JWT_AUDIENCE                = var.jwt_audience
    PUBSUB_PUSH_AUDIENCE        = local.push_audience
    PUBSUB_PUSH_SERVICE_ACCOUNT = google_service_account.push.email
    LOG_FORMAT                  = "json"
    TAI_METRICS_ADDRESS         = "127.0.0.1:${local.metrics_port}"
    TAI_LANES_MAX               = tostring(var.lanes_max)
    TRACE_SAMPLE_RATIO          = tostring(var.trace_ratio)
  }

  settings = merge(
    local.environment,
    var.jwks_url == "" ? { JWT_KEYS = "${local.mounts}/keys/jwks.json" } : { JWT_JWKS_URL = var.jwks_url },
    var.plans_from_secret ? { PLANS_FILE = "${local.mounts}/plans/plans.yaml" } : {},
    var.traces ? { OTEL_EXPORTER_OTLP_ENDPOINT = "http://localhost:${local.spans_port}" } : {},
    { for name, id in local.secret_ids : name => "gsm://projects/${var.project}/secrets/${id}" },
    var.settings,
  )

  # OTLP over HTTP from the service, over gRPC to Google's Telemetry API as the account that the instance runs as.
  collector = {
    extensions = {
      health_check     = { endpoint = "0.0.0.0:13133" }
      googleclientauth = {}
    }
    receivers = {
      otlp = { protocols = { http = { endpoint = "localhost:${local.spans_port}" } } }
    }
    processors = {
      memory_limiter = { check_interval = "1s", limit_percentage = 65, spike_limit_percentage = 20 }
      batch          = { send_batch_max_size = 200, send_batch_size = 200, timeout = "5s" }
    }
    exporters = {
      otlp = { endpoint = "telemetry.googleapis.com:443", auth = { authenticator = "googleclientauth" } }
    }
    service = {
      extensions = ["health_check", "googleclientauth"]
      telemetry  = { metrics = { level = "none" } }
      pipelines = {
        traces = { receivers = ["otlp"], processors = ["memory_limiter", "batch"], exporters = ["otlp"] }
      }
    }
  }
}

resource "google_cloud_run_v2_service" "tai" {
  count = var.image == "" ? 0 : 1

  project             = var.project
  location            = var.region
  name                = var.service
  ingress             = var.ingress
  labels              = local.labels
  deletion_protection = var.deletion_protection

  template {
    service_account                  = google_service_account.service.email
    execution_environment            = "EXECUTION_ENVIRONMENT_GEN2"
    timeout                          = "300s"
    max_instance_request_concurrency = var.concurrency
    labels                           = local.labels

    scaling {
      min_instance_count = var.instances.min
      max_instance_count = var.instances.max
    }

    containers {
      name  = "tai-autonomics"
      image = var.image

      ports {
        container_port = 8080
      }

      # CPU between requests too: timers, actions and the sidecars have no request of their own.
      resources {
        cpu_idle          = false
        startup_cpu_boost = true

        limits = {
          cpu    = var.cpu
          memory = var.memory
        }
      }

      dynamic "env" {
        for_each = local.settings

        content {
          name  = env.key
          value = env.value
        }
      }

      dynamic "volume_mounts" {
        for_each = local.mounted

        content {
          name       = volume_mounts.key
          mount_path = "${local.mounts}/${volume_mounts.key}"
        }
      }

      # Traffic once everything that it needs answers.
      startup_probe {
        period_seconds    = 2
        timeout_seconds   = 2
        failure_threshold = 60

        http_get {
          path = "/health"
          port = 8080
        }
      }

      # Never /health: an outage of the store would restart every instance.
      liveness_probe {
        period_seconds    = 10
        timeout_seconds   = 5
        failure_threshold = 6

        http_get {
          path = "/health/live"
          port = 8080
        }
      }
    }

    containers {
      name       = "prometheus"
      image      = var.sidecar_images.prometheus
      depends_on = ["tai-autonomics"]

      resources {
        cpu_idle = false

        limits = {
          cpu    = var.sidecar.cpu
          memory = var.sidecar.memory
        }
      }

      volume_mounts {
        name       = "scraping"
        mount_path = "/etc/rungmp"
      }
    }

    dynamic "containers" {
      for_each = var.traces ? [yamlencode(local.collector)] : []

      content {
        name  = "traces"
        image = var.sidecar_images.traces
        args  = ["--config=env:COLLECTOR"]

        env {
          name  = "COLLECTOR"
          value = containers.value
        }

        resources {
          cpu_idle = false

          limits = {
            cpu    = var.sidecar.cpu
            memory = var.sidecar.memory
          }
        }
      }
    }

    volumes {
      name = "scraping"

      secret {
        secret = google_secret_manager_secret.scraping.secret_id

        items {
          version = "latest"
          path    = "config.yaml"
        }
      }
    }

    dynamic "volumes" {
      for_each = local.mounted

      content {
        name = volumes.key

        secret {
          secret = google_secret_manager_secret.mounted[volumes.key].secret_id

          items {
            version = "latest"
            path    = volumes.value.file
          }
        }
      }
    }
  }

  # Delivery's: which image runs, which revision has how much of the traffic, and what its tool notes of itself.
  lifecycle {
    ignore_changes = [
      client,
      client_version,
      template[0].containers[0].image,
      template[0].revision,
      traffic,
    ]
  }

  depends_on = [
    google_firestore_field.override,
    google_firestore_index.composite,
    google_project_iam_member.service,
    google_secret_manager_secret_iam_member.mounted,
    google_secret_manager_secret_iam_member.scraping,
    google_secret_manager_secret_iam_member.setting,
    google_secret_manager_secret_version.scraping,
  ]
}

resource "google_cloud_run_v2_service_iam_member" "invoker" {
  for_each = var.image == "" ? toset([]) : var.invokers

  project  = var.project
  location = var.region
  name     = google_cloud_run_v2_service.tai[0].name
  role     = "roles/run.invoker"
  member   = each.value
}

# Where not everybody is let in, Pub/Sub's pushes still are.
resource "google_cloud_run_v2_service_iam_member" "push" {
  count = length(google_cloud_run_v2_service.tai)

  project  = var.project
  location = var.region
  name     = google_cloud_run_v2_service.tai[0].name
  role     = "roles/run.invoker"
  member   = google_service_account.push.member
}
