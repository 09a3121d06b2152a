# A shell, mkdir and rm: what the volume provisioner's helper pods run.
FROM debian:trixie-slim
