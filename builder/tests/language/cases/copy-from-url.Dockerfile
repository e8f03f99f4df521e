FROM scratch
COPY a https://example.org/b /c
