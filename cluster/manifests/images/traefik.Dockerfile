# Built with CGO, so it needs a C library.
FROM debian:trixie-slim
COPY traefik /traefik
USER 65532:65532
ENTRYPOINT ["/traefik"]
