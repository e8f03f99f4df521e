# only this
ARG a=1
