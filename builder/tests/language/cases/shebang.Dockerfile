#!/usr/bin/env mkimg
# escape=`
FROM scratch
LABEL a=1 \
 b=`
