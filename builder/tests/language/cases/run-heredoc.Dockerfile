FROM scratch
RUN a \
  <<-"EOF" cat
b
EOF
