FROM scratch

  ADD a b
