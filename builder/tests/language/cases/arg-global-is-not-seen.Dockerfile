ARG v=1
FROM scratch
LABEL a=[$v]
ARG v
LABEL b=[$v]
