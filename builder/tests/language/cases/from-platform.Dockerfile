FROM --platform=linux/arm64 scratch
