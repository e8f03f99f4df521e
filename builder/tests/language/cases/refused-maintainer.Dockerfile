FROM scratch

  MAINTAINER me
