FROM scratch
LABEL a="x y
