# syntax=example.org/frontend:2
FROM scratch
