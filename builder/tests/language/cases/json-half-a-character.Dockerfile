FROM scratch
CMD ["a\ud800"]
