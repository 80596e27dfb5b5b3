// Hello on Node's http module.
'use strict';

const http = require('http');

const at = process.argv.indexOf('--port');
const port = at > 0 ? Number(process.argv[at + 1]) : 0;
const fields = { 'Content-Type': 'text/plain; charset=utf-8', 'Content-Length': '13' };

const server = http.createServer((request, response) => {
  response.writeHead(200, fields);
  response.end('Hello, world!');
});

server.listen({ host: '127.0.0.1', port, backlog: 4096 }, () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
