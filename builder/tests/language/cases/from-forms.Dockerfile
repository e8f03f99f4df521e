FROM a AS One
FROM one as two
FROM "debian":12
FROM two
