# shellcheck shell=bash
# Sourced by .ci/run.

# Counts the release's instructions with valgrind, and fails where an operation takes over 10 % more than
# benches/instructions.toml records; with UPDATE_INSTRUCTIONS=1 it records them again instead. The benchmark only sends and
# counts, so it is not optimised: with `--tests` it has the packages and features of the tests' build, and it alone is compiled.
# The recorded figures are those of a CPU with AVX2, for which some packages have code of their own.
step_instructions() {
    local mode
    case ${UPDATE_INSTRUCTIONS:-} in
        '') mode=--check-instructions ;;
        1) mode=--record-instructions ;;
        *) echo "UPDATE_INSTRUCTIONS is 1 or empty, not: $UPDATE_INSTRUCTIONS"; return 1 ;;
    esac
    if [ "$(uname -m)" != x86_64 ] || ! grep -qw avx2 /proc/cpuinfo; then
        not_checked 'the instructions, since this machine is not x86-64 with AVX2, of which the recorded ones are'
        return 0
    fi
    cargo build --release --locked -p grpcchatter
    cargo build --workspace --locked --tests --bin grpcchatter-bench
    GRPCCHATTER_BIN=$TARGET/release/grpcchatter "$TARGET/debug/grpcchatter-bench" "$mode" benches/instructions.toml
}
