FROM scratch
USER a b
USER "$x"me
