FROM scratch
ARG ok =x
