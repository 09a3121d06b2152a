#!/bin/sh
# Starts Alertmanager with the URL of its webhook, which before 0.26 it takes from its configuration only: the one that
# is given has a stand-in for it. Without the URL it starts all the same, and an alert says that it tells nobody.
# Arguments: those of Alertmanager but --config.file.
set -eu
given="${CONFIG:-/etc/alertmanager}/alertmanager.yml"
secret="${SECRET:-/run/secrets/receiver/secret}"
used="${RUN:-/run/alertmanager}/alertmanager.yml"
umask 077
if [ -s "$secret" ]; then
  URL="$(cat "$secret")" awk '
    /^ *- url: http:\/\/receiver.invalid\/$/ {
      url = ENVIRON["URL"]
      gsub(/\047/, "\047\047", url)
      sub(/http:.*/, "")
      $0 = $0 "\047" url "\047"
    }
    { print }
  ' "$given" > "$used"
else
  echo "$secret is missing or empty: nobody is told of alerts" >&2
  cat "$given" > "$used"
fi
exec alertmanager --config.file="$used" "$@"
