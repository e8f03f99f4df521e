FROM scratch AS a
FROM scratch
COPY --from=a /x /y
COPY --from=0 /x /y
COPY --from=docker.io/library/busybox /x /y
