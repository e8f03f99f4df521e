FROM scratch

  shell ["a"]
