FROM scratch
ADD a b
ADD --chown=a:b --chmod=755 --link --exclude=*.md --exclude=x --keep-git-dir=false --checksum=$sum --unpack https://example.com/a.tar ./
ADD ["a b", "/c"]
ADD <<EOF /hello
hi $name
EOF
