FROM scratch
RUN --security=insecure x
