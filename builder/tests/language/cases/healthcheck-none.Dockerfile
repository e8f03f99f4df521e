FROM scratch
healthcheck none
