"""
What watches a running service: one source, from which the files of each system that watches are written.

    records, alerts --> prometheus/recording.yaml, prometheus/alerting.yaml
                    --> terraform/alerts.json, terraform/objectives.json     Cloud Monitoring
    records, panels --> grafana/tai.json
                    --> terraform/dashboard.json           Cloud Monitoring

`python -m observability` writes them anew. `tests/house/test_observability.py` compares the files with their source and
every name in them with what the service exposes; `tests/contract/alerts` shows that each alert fires on its fault.
"""
