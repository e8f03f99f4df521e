FROM scratch
CMD a
SHELL ["/bin/bash", "-c", "$x"]
ENTRYPOINT b
