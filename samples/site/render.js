const fs = require("fs");
const path = require("path");
const { marked } = require("marked");

const [from, to] = process.argv.slice(2);
fs.mkdirSync(to, { recursive: true });
for (const page of fs.readdirSync(from)) {
  const text = fs.readFileSync(path.join(from, page), "utf8");
  fs.writeFileSync(path.join(to, page.replace(/\.md$/, ".html")), marked.parse(text));
}
