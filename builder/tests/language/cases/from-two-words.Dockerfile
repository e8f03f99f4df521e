FROM scratch tools
