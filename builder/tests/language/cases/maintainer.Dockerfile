FROM scratch
MAINTAINER me <a@b>
