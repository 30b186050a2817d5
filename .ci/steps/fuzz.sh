# shellcheck shell=bash
# Sourced by .ci/run.

# Runs each fuzz target for a minute (or FUZZ_SECONDS), as many at once as there are cores. cargo-fuzz builds with flags for a nightly
# compiler, which RUSTC_BOOTSTRAP allows on a stable one, in a folder of its own. Without the toolchain's address sanitizer the
# step is skipped and says so. Inputs that fail stay in fuzz/artifacts/.
step_fuzz() {
    local targets sanitizer out seconds=${FUZZ_SECONDS:-60}
    targets=$(basename -s .rs fuzz/targets/*.rs)
    sanitizer=$(rustc --print sysroot)/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/lib/librustc-*_rt.asan.a
    if ! compgen -G "$sanitizer" >/dev/null; then
        echo "NOT FUZZED:" $targets "- this toolchain has no address sanitizer; the tests have run the same properties on their seeds"
        return
    fi
    if ! has cargo-fuzz; then
        install_tool "cargo-fuzz@$CARGO_FUZZ"
    fi
    # cargo-fuzz has no --locked of its own.
    cargo fetch --locked --quiet --manifest-path fuzz/Cargo.toml
    RUSTC_BOOTSTRAP=1 cargo fuzz build --target-dir "$TARGET/fuzz"
    out=$(mktemp -d)
    export -f fuzz
    xargs -P "$(nproc)" -I{} bash -c 'fuzz "$@"' - {} "$TARGET" "$out" "$seconds" <<<"$targets" || {
        rm -r "$out"
        return 1
    }
    rm -r "$out"
}

# Fuzzes one target from its seeds, and prints the number of runs. A leak of memory is a failure too.
fuzz() {
    local name=$1 out=$3/$1 status=0
    mkdir -p "$out" "fuzz/artifacts/$name"
    ASAN_OPTIONS=detect_odr_violation=0 "$2"/fuzz/*/release/"$name" "$out" "fuzz/seeds/$name" \
        -max_total_time="$4" -rss_limit_mb=8192 -artifact_prefix="fuzz/artifacts/$name/" >"$out.log" 2>&1 || status=$?
    grep -E '^Done [0-9]+ runs' "$out.log" | sed "s/^Done/$name:/" || true
    [ $status = 0 ] || { tail -n 50 "$out.log"; echo "$name: exit code $status"; }
    return $status
}
