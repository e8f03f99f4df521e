FROM scratch
COPY << EOF /x
a
EOF
