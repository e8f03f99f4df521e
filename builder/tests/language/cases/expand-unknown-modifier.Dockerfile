FROM scratch
ENV a=x
LABEL b=z${a^^}
