# shellcheck shell=bash
# Sourced by .ci/run.

# Tests the promise: the checker must catch every mutant, a server with a deliberate fault, and must find no violation when faults
# are injected around an intact server. A missing program is a failure; a fault that the machine does not permit is named in the table.
step_nemesis() {
    local names plain=$TARGET/release/grpcchatter status=0 started
    names=$(sed -n 's/^        ("\([a-z-]*\)", Fault::.*/\1/p' src/faults.rs)
    [ "$(wc -w <<<"$names")" -ge 16 ] || { echo 'src/faults.rs names too few faults'; return 1; }
    if [ ! -e "$plain" ]; then
        cargo build --locked --profile nemesis -p grpcchatter
        plain=$TARGET/nemesis/grpcchatter
    fi
    if grep -qF -e GRPCCHATTER_FAULT -f <(printf '%s\n' $names) "$plain"; then
        echo "a server without the feature holds deliberate faults: $plain"
        return 1
    fi
    cargo build --locked --profile nemesis -p grpcchatter -p grpcchatter-nemesis --features grpcchatter/deliberate-faults
    grep -qF GRPCCHATTER_FAULT "$TARGET/nemesis/grpcchatter" || { echo 'no faults where they were asked for'; return 1; }
    started=$SECONDS
    REQUIRE_NEMESIS=1 "$TARGET/nemesis/grpcchatter-nemesis" --mutants || status=1
    echo "the mutants took $((SECONDS - started)) s"
    started=$SECONDS
    REQUIRE_NEMESIS=1 "$TARGET/nemesis/grpcchatter-nemesis" || status=1
    echo "the faults took $((SECONDS - started)) s"
    return $status
}
