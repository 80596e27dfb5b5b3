/* A WebSocket server made of the package ws, for tests of our client. Prints port=N; and echoes, but
 * /close      closes with 4001
 * /pieces     sends each message back in four fragments
 * /pinged     pings, and says `ponged` when that has been answered
 * /closed     refuses with 401
 * Of the subprotocols it takes v2.
 *
 * node ws_server.js COMPRESS [CERT KEY]   COMPRESS: yes or no */
'use strict';
const fs = require('fs');
const http = require('http');
const https = require('https');

let ws;
try {
    ws = require('ws');
} catch {
    try {
        ws = require('/usr/share/nodejs/ws'); /* where Debian puts it; Debian's own node would look there */
    } catch {
        console.log('missing;');
        process.exit(0);
    }
}

const [compress, cert, key] = process.argv.slice(2);
const server = cert
    ? https.createServer({cert: fs.readFileSync(cert), key: fs.readFileSync(key)})
    : http.createServer();
const sockets = new ws.WebSocketServer({
    server,
    perMessageDeflate: compress === 'yes' ? {threshold: 0} : false,
    handleProtocols: (offered) => (offered.has('v2') ? 'v2' : false),
    verifyClient: ({req}, done) => done(req.url !== '/closed', 401, 'who are you?'),
});

function sendPieces(socket, data, binary) {
    const size = Math.ceil(data.length / 4);

    for (let at = 0; at < data.length; at += size) {
        const fin = at + size >= data.length;
        socket.send(data.subarray(at, at + size), {binary, fin});
    }
}

sockets.on('connection', (socket, req) => {
    socket.on('error', () => {});
    socket.on('message', (data, binary) => {
        if (req.url === '/close') {
            socket.close(4001, 'enough');
        } else if (req.url === '/pieces') {
            sendPieces(socket, data, binary);
        } else {
            socket.send(data, {binary});
        }
    });
    if (req.url === '/pinged') {
        socket.on('pong', (data) => socket.send(`ponged ${data}`));
        socket.ping('mark');
    }
});

process.on('SIGTERM', () => process.exit(0));
server.listen(0, '127.0.0.1', () => console.log(`port=${server.address().port};`));
