ARG P=linux/arm64
FROM --platform=$P a
FROM --platform=$BUILDPLATFORM scratch
