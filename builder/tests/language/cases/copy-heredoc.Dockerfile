FROM scratch
COPY <<EOF /x
hi
EOF
