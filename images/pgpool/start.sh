#!/bin/sh
# Writes what Pgpool-II reads at start, from /config and from the environment, and then becomes Pgpool-II.
# The contract is that of the image pgpool/pgpool: a mounted pgpool.conf wins over PGPOOL_PARAMS_*, and every pair of
# <X>_USERNAME and <X>_PASSWORD is a user that may log in. No secret is ever an argument of a program.
set -eu
umask 077

config=${PGPOOL_CONF_VOLUME:-/config}
home=${PGPOOL_INSTALL_DIR:-/opt/pgpool-II}
etc=$home/etc
run=${PGPOOL_RUN_DIR:-/var/run/pgpool}

fail() {
    printf 'ERROR: %s\n' "$1" >&2
    exit 1
}

is_on() {
    case $1 in on | true | yes) true ;; *) false ;; esac
}

# Names of the variables of the environment that match a regular expression.
variables() {
    awk -v pattern="$1" 'BEGIN { for (name in ENVIRON) if (name ~ pattern) print name }' | sort
}

value_of() {
    eval "printf %s \"\${$1-}\""
}

pgpool_conf() {
    if [ -f "$config/pgpool.conf" ]; then
        cat "$config/pgpool.conf"
        return
    fi
    [ -n "${PGPOOL_PARAMS_BACKEND_HOSTNAME0:-}" ] ||
        fail "there is no $config/pgpool.conf, and PGPOOL_PARAMS_BACKEND_HOSTNAME0 is not set"
    for name in $(variables '^PGPOOL_PARAMS_'); do
        printf "%s = '%s'\n" "$(printf %s "${name#PGPOOL_PARAMS_}" | tr '[:upper:]' '[:lower:]')" "$(value_of "$name")"
    done
}

pool_hba_conf() {
    if [ -f "$config/pool_hba.conf" ]; then
        cat "$config/pool_hba.conf"
        return
    fi
    # Without a certificate of its own Pgpool-II speaks TLS to PostgreSQL only, and no client could match `hostssl`.
    if [ -f "$config/tls/tls.crt" ]; then type=hostssl; else type=host; fi
    printf '%s all all all %s\n' "$type" "$method"
}

# <user>:<password> of each pair; a user that has no password cannot log in.
logins() {
    for name in $(variables '._USERNAME$'); do
        user=$(value_of "$name") password=$(value_of "${name%USERNAME}PASSWORD")
        if [ -n "$user" ] && [ -n "$password" ]; then
            printf '%s:%s\n' "$user" "$password"
        else
            printf 'WARNING: %s has no value, or no password beside it\n' "$name" >&2
        fi
    done
}

pool_passwd() {
    : > "$etc/pool_passwd"
    if is_on "${PGPOOL_SKIP_PASSWORD_ENCRYPTION:-false}"; then
        logins > "$etc/pool_passwd"
        return
    fi
    logins > "$etc/logins"
    # It says which user it has written, and where the key is.
    pg_enc -m -f "$etc/pgpool.conf" -k "$etc/.pgpoolkey" -i "$etc/logins" > /dev/null
    rm "$etc/logins"
}

pcp_conf() {
    password=${PGPOOL_PCP_PASSWORD:-}
    [ -n "${PGPOOL_PCP_USER:-}" ] && [ -n "$password" ] || return 0
    # So that `pcp_… -h localhost -w` works in here.
    printf 'localhost:*:%s:%s\n' "$PGPOOL_PCP_USER" "$password" > "$etc/.pcppass"
    is_on "${PGPOOL_SKIP_PASSWORD_ENCRYPTION:-false}" || password=$(printf %s "$password" | md5sum | cut -d ' ' -f 1)
    printf '%s:%s\n' "$PGPOOL_PCP_USER" "$password"
}

method=${PGPOOL_PASSWORD_ENCRYPTION_METHOD:-scram-sha-256}
[ "$method" = scram-sha-256 ] ||
    fail "PGPOOL_PASSWORD_ENCRYPTION_METHOD is $method: only scram-sha-256 is served here"
is_on "${PGPOOL_ENABLE_POOL_PASSWD:-true}" ||
    fail "PGPOOL_ENABLE_POOL_PASSWD is off: passwords would pass in clear text, and that is not served here"

pgpool_conf > "$etc/pgpool.conf"
pool_hba_conf > "$etc/pool_hba.conf"
head -c 32 /dev/urandom | base64 > "$etc/.pgpoolkey"
pool_passwd
pcp_conf > "$etc/pcp.conf"

for name in $(variables '_PASSWORD$'); do
    unset "$name"
done
# A container that was restarted finds the number of a process that it is itself, and would not start beside it.
rm -rf "$run"/* "$run"/.s.*
export LD_PRELOAD="$home/lib/sockets.so"
# -D: what a pod believed of its backends before must not outlive it.
exec pgpool -n -D -f "$etc/pgpool.conf" -a "$etc/pool_hba.conf" -F "$etc/pcp.conf" -k "$etc/.pgpoolkey"
