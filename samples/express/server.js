const express = require("express");

const app = express();
app.get("/", (request, response) => response.send("Hello from Express\n"));
const server = app.listen(8000);
process.on("SIGTERM", () => server.close());
