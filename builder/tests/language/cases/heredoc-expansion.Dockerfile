FROM scratch
COPY <<EOF /x
a
b ${c^}
EOF
