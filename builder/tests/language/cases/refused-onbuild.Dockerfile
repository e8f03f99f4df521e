FROM scratch

  ONBUILD RUN x
