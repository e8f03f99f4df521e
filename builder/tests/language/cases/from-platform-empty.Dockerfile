FROM --platform=$NONE scratch
