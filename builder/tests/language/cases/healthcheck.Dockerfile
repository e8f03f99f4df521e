FROM scratch
HEALTHCHECK CMD a "b" $c
HEALTHCHECK --interval=1m30s --timeout=1.5s --start-period=0 --start-interval=250ms --retries=3 cmd ["a", "b"]
