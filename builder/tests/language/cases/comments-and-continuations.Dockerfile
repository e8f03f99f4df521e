FROM scratch
# one
RUN a \
  # two
  && b \

  && c
  # three
RUN d\
e
RUN f\\
LABEL last=1 \
