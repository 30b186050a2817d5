# Short names for what CI does; each step is written once, in .ci/run.

# Lists the names.
default:
    @just --list

# Everything that CI does, in its order.
ci:
    .ci/run

# Serves with the defaults on http://127.0.0.1:8080/.
run *flags:
    cargo run --release -- {{ flags }}

# Formats the source.
fmt:
    cargo fmt --all

# Some steps of CI, by name: `.ci/run list` has the names.
step +names:
    .ci/run step {{ names }}

# The formatting, without changing it.
fmt-check: (step "fmt")

# The lints, warnings denied.
clippy: (step "clippy")

# Every test; what CONTRIBUTING.md lists for the tests must be there.
test: (step "test")

# The page in Chromium.
browser: (step "browser")

# The pages for other languages, run against the server.
clients: (step "clients")

# The packages of the three crates, each built from what it holds.
package: (step "package")

# The documentation, warnings denied.
doc: (step "doc")

# Banned packages, licences, sources, and advisories where their database can be had.
deny: (step "deny")

# The lints of the proto.
proto: (step "proto")

# The page, built again and compared with what is committed.
page: (step "page")

# The documents' commands and the examples, run.
docs: (step "docs")

# The server held to its OpenAPI document by schemathesis, and its figures to their formats.
openapi: (step "openapi")

# systemd's units.
units: (step "units")

# The release: its size, and how soon it answers.
release: (step "release")

# The instructions of the release's operations, compared with those of benches/instructions.toml.
instructions: (step "instructions")

# The HTTP/2 conformance suite against the running server.
h2spec: (step "h2spec")

# Each fuzz target for a minute: `FUZZ_SECONDS=3600 just fuzz` for longer.
fuzz: (step "fuzz")

# Breaks things around the server, and checks that its log keeps its promise: `just nemesis kill`, `just nemesis --help`.
nemesis *arguments:
    cargo build --locked --profile nemesis -p grpcchatter -p grpcchatter-nemesis --features grpcchatter/deliberate-faults
    "${CARGO_TARGET_DIR:-target}/nemesis/grpcchatter-nemesis" {{ arguments }}
