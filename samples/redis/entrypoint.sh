#!/bin/sh
set -e

# flags alone are for the server
case "$1" in
    -*) set -- redis-server "$@" ;;
esac
if [ "$1" = redis-server ]; then
    set -- "$@" --bind 0.0.0.0 --protected-mode no --dir /data
fi
exec "$@"
