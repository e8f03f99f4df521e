FROM scratch
LABEL a=b c="${V:?give it with --build-arg V}"
