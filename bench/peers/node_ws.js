// WebSocket on the package ws: an echo; /z compresses; /bc says everything to everybody.
'use strict';

const { createServer } = require('http');
const { WebSocketServer } = require('ws');

const at = process.argv.indexOf('--port');
const port = at > 0 ? Number(process.argv[at + 1]) : 0;

const server = createServer();
const plain = new WebSocketServer({ noServer: true, perMessageDeflate: false });
const compressed = new WebSocketServer({
  noServer: true,
  perMessageDeflate: { serverNoContextTakeover: true, clientNoContextTakeover: true },
});
const all = new WebSocketServer({ noServer: true, perMessageDeflate: false });

for (const group of [plain, compressed]) {
  group.on('connection', (socket) => {
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
  });
}
all.on('connection', (socket) => {
  socket.on('message', (data, isBinary) => {
    for (const other of all.clients) other.send(data, { binary: isBinary });
  });
});

const groups = new Map([['/z', compressed], ['/bc', all]]);

server.on('upgrade', (request, socket, head) => {
  const group = groups.get(request.url) ?? plain;
  group.handleUpgrade(request, socket, head, (ws) => group.emit('connection', ws, request));
});

server.listen({ host: '127.0.0.1', port, backlog: 4096 }, () => {
  console.log(`listening on ws://127.0.0.1:${server.address().port}`);
});
