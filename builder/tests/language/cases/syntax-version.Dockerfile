# syntax=docker/dockerfile:2
FROM scratch
