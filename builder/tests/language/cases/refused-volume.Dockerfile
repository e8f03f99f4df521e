FROM scratch

  VOLUME /a
