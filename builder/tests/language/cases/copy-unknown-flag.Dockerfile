FROM scratch
COPY --form=a b c
