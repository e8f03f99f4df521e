FROM scratch
COPY --chmod 755 a b
