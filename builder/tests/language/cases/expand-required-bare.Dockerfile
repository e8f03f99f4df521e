FROM scratch
LABEL c=${V?}
