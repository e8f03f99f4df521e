FROM scratch
ENV V=
LABEL a=b c=${V:?}
