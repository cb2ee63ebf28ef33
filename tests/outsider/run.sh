#!/usr/bin/env bash
# Builds and runs the outsider crate against what `cargo package` makes of pipeline-core, so that
# whatever is missing from the package, or is not public, is seen. Exit status 0: it passed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

cargo package --quiet --manifest-path "$root/pipeline-core/Cargo.toml" \
    --allow-dirty --no-verify --target-dir "$target"
mkdir "$scratch/package"
tar -xzf "$target"/package/pipeline-core-*.crate --strip-components=1 -C "$scratch/package"
cp -r "$here" "$scratch/outsider"
# The versions that everything else is tested with.
cp "$root/Cargo.lock" "$scratch/outsider/Cargo.lock"
cargo test --quiet --manifest-path "$scratch/outsider/Cargo.toml" --target-dir "$target/outsider" \
    --config "patch.crates-io.pipeline-core.path=\"$scratch/package\""
echo "outsider: passed"
