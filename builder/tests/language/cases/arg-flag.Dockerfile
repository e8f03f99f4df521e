FROM scratch
ARG --x a
