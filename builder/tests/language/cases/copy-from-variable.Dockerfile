FROM scratch
ARG v
COPY --chmod=1 --from=$v /x /y
