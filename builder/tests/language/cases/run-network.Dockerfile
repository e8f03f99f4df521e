FROM scratch
RUN --network=none x
