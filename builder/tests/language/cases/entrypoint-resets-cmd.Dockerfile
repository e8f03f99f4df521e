FROM busybox
ENTRYPOINT ["a"]
