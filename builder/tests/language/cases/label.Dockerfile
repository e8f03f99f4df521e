FROM scratch
LABEL a.b="c d" "e f"=g
LABEL old style here
