FROM scratch
COPY a /b
COPY --from=0x --chmod=755 --chown="a b" x y /z/
COPY ["a b", "$c", "/d"]
COPY -- --odd /x
COPY --from= --chown= a /b
