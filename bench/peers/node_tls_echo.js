// Raw echo on Node's tls module. A socket that does not take its bytes is not read until it has.
'use strict';

const fs = require('fs');
const tls = require('tls');

function option(name) {
  const at = process.argv.indexOf(`--${name}`);
  return at > 0 ? process.argv[at + 1] : '';
}

const server = tls.createServer({
  cert: fs.readFileSync(option('cert')),
  key: fs.readFileSync(option('key')),
  minVersion: 'TLSv1.2',
}, (socket) => {
  socket.setNoDelay(true);
  socket.on('error', () => socket.destroy());
  socket.on('drain', () => socket.resume());
  socket.on('data', (bytes) => {
    if (!socket.write(bytes)) socket.pause();
  });
});

server.on('tlsClientError', () => {});
server.listen({ host: '127.0.0.1', port: Number(option('port')), backlog: 4096 }, () => {
  console.log(`listening on tls://127.0.0.1:${server.address().port}`);
});
