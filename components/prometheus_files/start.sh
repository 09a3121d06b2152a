#!/bin/sh
# Starts Prometheus. It would not start with a rule file that it cannot read, so such a file is left out, and an alert
# says so. Arguments: those of Prometheus.
set -u
given="${RULES:-/etc/prometheus-rules}"
used="${RUN:-/run/prometheus}"
rm -rf "$used"/*.yaml
for file in "$given"/*.yaml; do
  name="$(basename "$file" .yaml)"
  if promtool check rules "$file" > /dev/null 2> "$used/why"; then
    cp "$file" "$used/$name.yaml"
    continue
  fi
  echo "the rule file $name.yaml is left out:" >&2
  cat "$used/why" >&2
  cat > "$used/$name.yaml" << RULES
groups:
  - name: $name
    rules:
      - alert: PrometheusRuleFileRejected
        expr: vector(1)
        labels: {severity: ticket, file: "$name.yaml"}
        annotations:
          summary: A rule file is not used.
          description: Prometheus cannot read $name.yaml, so none of its alerts fires. Its log says why.
          runbook_url: docs/runbooks/PrometheusRuleFileRejected.md
RULES
done
exec prometheus "$@"
