FROM scratch
CMD --shell x
