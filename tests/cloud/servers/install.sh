#!/usr/bin/env bash
# Installs the servers that the tests of the connectors talk to into the folder given (default: target/servers of this
# clone), each at a pinned version. What this machine cannot have is said, and its tests are skipped.
set -uo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
into="${1:-$here/../../../target/servers}"
mkdir -p "$into"
into="$(cd "$into" && pwd)"
status=0

missing() {
    printf 'MISSING: %s (its tests will be skipped)\n' "$*" >&2
    status=1
}

go_server() {
    local name="$1" source="$2"
    # A server that is older than its source is built again.
    [ -x "$into/$name" ] && [ "$into/$name" -nt "$here/$source/main.go" ] && return
    command -v go >/dev/null || { missing "$name: no Go"; return; }
    (cd "$here/$source" && GOFLAGS=-mod=mod go build -buildvcs=false -o "$into/$name" .) || missing "$name: go build failed"
}

go_server gcsfake gcs
go_server pubsubfake pubsub

if [ ! -x "$into/venv/bin/bqemulator" ]; then
    python3 -m venv "$into/venv" \
        && "$into/venv/bin/pip" install --quiet --disable-pip-version-check bqemulator==1.4.0 'numpy<3' \
        || missing "bqemulator: no Python, or no such package"
fi

jar() { dpkg -L google-cloud-cli-pubsub-emulator 2>/dev/null | grep -m1 'all\.jar$'; }
if [ ! -e "$into/pubsub-emulator.jar" ]; then
    if jar >/dev/null && command -v java >/dev/null; then
        ln -sf "$(jar)" "$into/pubsub-emulator.jar"
    else
        missing "Pub/Sub's emulator: no Debian package google-cloud-cli-pubsub-emulator, or no Java"
    fi
fi
exit $status
