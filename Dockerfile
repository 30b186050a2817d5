# The gateway alone: `docker build -t grpcchatter .`; with PostgreSQL beside it: docker-compose.yml.
FROM rust:1.95-slim-bookworm AS chef
RUN cargo install --locked cargo-chef@0.1.78
WORKDIR /src

# What is built of others is built again only where the manifests change.
FROM chef AS plan
COPY . .
RUN cargo chef prepare --recipe-path recipe.json

FROM chef AS build
COPY --from=plan /src/recipe.json recipe.json
RUN cargo chef cook --release --locked --package grpcchatter --recipe-path recipe.json
COPY . .
RUN cargo build --release --locked --package grpcchatter --bin grpcchatter

FROM debian:bookworm-slim
RUN useradd --uid 10001 --no-create-home --no-log-init --shell /usr/sbin/nologin grpcchatter \
    && install -d -o grpcchatter -m 0700 /var/lib/grpcchatter
COPY --from=build /src/target/release/grpcchatter /usr/local/bin/grpcchatter
USER 10001
ENV SERVER_ADDRESS=0.0.0.0 DATA_DIR=/var/lib/grpcchatter
# The only folder that is written to: the rest may be read-only.
VOLUME /var/lib/grpcchatter
EXPOSE 8080
# Finds port and TLS by the environment, as the server does; a container that is told --config or flags needs a check that
# is told the same. No --start-interval: engines before 25, as Debian 12's, refuse it.
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s CMD ["grpcchatter", "healthcheck"]
ENTRYPOINT ["grpcchatter"]
