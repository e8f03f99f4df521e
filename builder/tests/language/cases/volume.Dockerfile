FROM scratch
ENV d=/data
VOLUME $d /logs
VOLUME ["/a b", " /c "]
