# Images of Work Factory: one target for each binary.
#
#   docker build --target work-factory -t work-factory .
#   docker build --target api-service -t work-factory-api .
#   docker build --target worker-service -t work-factory-worker .
#
# The final images have a C library, certificates of authorities and the binary; no shell, and no
# user but one without rights.
ARG RUST_IMAGE=rust:1.95-slim-bookworm
ARG BASE_IMAGE=gcr.io/distroless/cc-debian12:nonroot

FROM ${RUST_IMAGE} AS build
WORKDIR /src
# Names of functions stay, for backtraces; line tables are three quarters of a binary.
ENV CARGO_PROFILE_RELEASE_STRIP=debuginfo

# Dependencies first, with empty crates of our own: this layer is built again only when a manifest
# or the lock file changes.
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
COPY benchmark/Cargo.toml benchmark/Cargo.toml
COPY crates/admission/Cargo.toml crates/admission/Cargo.toml
COPY crates/allocator/Cargo.toml crates/allocator/Cargo.toml
COPY crates/api-service/Cargo.toml crates/api-service/Cargo.toml
COPY crates/client/Cargo.toml crates/client/Cargo.toml
COPY crates/deadline/Cargo.toml crates/deadline/Cargo.toml
COPY crates/faktory-broker/Cargo.toml crates/faktory-broker/Cargo.toml
COPY crates/faktory-link/Cargo.toml crates/faktory-link/Cargo.toml
COPY crates/faktory-wire/Cargo.toml crates/faktory-wire/Cargo.toml
COPY crates/ground/Cargo.toml crates/ground/Cargo.toml
COPY crates/job-types/Cargo.toml crates/job-types/Cargo.toml
COPY crates/journal/Cargo.toml crates/journal/Cargo.toml
COPY crates/link-emulator/Cargo.toml crates/link-emulator/Cargo.toml
COPY crates/listener/Cargo.toml crates/listener/Cargo.toml
COPY crates/service-runtime/Cargo.toml crates/service-runtime/Cargo.toml
COPY crates/testkit/Cargo.toml crates/testkit/Cargo.toml
COPY crates/work-factory/Cargo.toml crates/work-factory/Cargo.toml
COPY crates/worker-service/Cargo.toml crates/worker-service/Cargo.toml
COPY crates/xtask/Cargo.toml crates/xtask/Cargo.toml
RUN for crate in benchmark crates/*; do \
      mkdir -p "$crate/src" && : > "$crate/src/lib.rs" \
      && echo 'fn main() {}' > "$crate/src/main.rs"; \
    done \
 && cargo build --release --locked -p work-factory -p api-service -p worker-service \
 && rm -rf crates/*/src

COPY crates crates
# Newer than what was built from the empty ones.
RUN find crates -name '*.rs' -exec touch {} + \
 && cargo build --release --locked -p work-factory -p api-service -p worker-service \
 && mkdir -p /out/data \
 && cp target/release/work-factory target/release/api-service target/release/worker-service /out/

FROM ${BASE_IMAGE} AS base
# distroless calls it nonroot.
USER 65532:65532
STOPSIGNAL SIGTERM

FROM base AS api-service
COPY --from=build /out/api-service /usr/local/bin/api-service
ENV BIND_ADDR=0.0.0.0:3000
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s \
  CMD ["/usr/local/bin/api-service", "--healthcheck"]
ENTRYPOINT ["/usr/local/bin/api-service"]

FROM base AS worker-service
COPY --from=build /out/worker-service /usr/local/bin/worker-service
ENV WORKER_BIND_ADDR=0.0.0.0:3001
EXPOSE 3001
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s \
  CMD ["/usr/local/bin/worker-service", "--healthcheck"]
ENTRYPOINT ["/usr/local/bin/worker-service"]

# The last one is what is built without --target: everything in one, with the embedded broker.
FROM base AS work-factory
COPY --from=build /out/work-factory /usr/local/bin/work-factory
# A volume takes its owner from here.
COPY --from=build --chown=65532:65532 /out/data /data
ENV BIND_ADDR=0.0.0.0:3000 BROKER_DATA_DIR=/data
VOLUME /data
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s \
  CMD ["/usr/local/bin/work-factory", "--healthcheck"]
ENTRYPOINT ["/usr/local/bin/work-factory"]
