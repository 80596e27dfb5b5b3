// Echo of datagrams on Node's dgram module.
'use strict';

const dgram = require('dgram');

const at = process.argv.indexOf('--port');
const port = at > 0 ? Number(process.argv[at + 1]) : 0;

const server = dgram.createSocket({ type: 'udp4', recvBufferSize: 4 << 20 });

server.on('message', (bytes, peer) => server.send(bytes, peer.port, peer.address));
server.bind(port, '127.0.0.1', () => {
  console.log(`listening on udp://127.0.0.1:${server.address().port}`);
});
