// Raw echo on Node's net module. A socket that does not take its bytes is not read until it has.
'use strict';

const net = require('net');

const at = process.argv.indexOf('--port');
const port = at > 0 ? Number(process.argv[at + 1]) : 0;

const server = net.createServer({ noDelay: true }, (socket) => {
  socket.on('error', () => socket.destroy());
  socket.on('drain', () => socket.resume());
  socket.on('data', (bytes) => {
    if (!socket.write(bytes)) socket.pause();
  });
});

server.listen({ host: '127.0.0.1', port, backlog: 4096 }, () => {
  console.log(`listening on tcp://127.0.0.1:${server.address().port}`);
});
