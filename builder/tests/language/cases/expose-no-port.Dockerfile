FROM scratch
ENV p=http
EXPOSE $p
