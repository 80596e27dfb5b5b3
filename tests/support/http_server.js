/* Node's HTTP server, for tests of our client. Prints port=N.
 *
 * node http_server.js [CERT KEY] */
'use strict';
const fs = require('fs');
const http = require('http');
const https = require('https');
const zlib = require('zlib');

const [cert, key] = process.argv.slice(2);
const LARGE = Buffer.alloc(1 << 20, 'abcdefghij');

const routes = {
    '/hello': (req, res) => res.end('hello from node'),
    '/chunks': (req, res) => {
        let left = 50;
        const more = () => {
            res.write(`piece ${left}\n`);
            left > 1 ? (left--, setImmediate(more)) : res.end();
        };
        more();
    },
    '/gzip': (req, res) => {
        res.setHeader('Content-Encoding', 'gzip');
        res.end(zlib.gzipSync(LARGE));
    },
    '/deflate': (req, res) => {
        res.setHeader('Content-Encoding', 'deflate');
        res.write(zlib.deflateSync(LARGE).subarray(0, 100));
        res.end(zlib.deflateSync(LARGE).subarray(100));
    },
    '/echo': (req, res) => req.pipe(res),
    '/fields': (req, res) => res.end(JSON.stringify(req.headers)),
    '/early': (req, res) => {
        res.writeProcessing();
        setImmediate(() => res.end('late'));
    },
    '/trailers': (req, res) => {
        res.setHeader('Trailer', 'X-Sum');
        res.write('body');
        res.addTrailers({'X-Sum': '4'});
        res.end();
    },
    '/go': (req, res) => res.writeHead(302, {Location: '/hello'}).end('go'),
    '/none': (req, res) => res.writeHead(204).end(),
    '/destroy': (req, res) => {
        res.writeHead(200, {'Content-Length': 100});
        res.write('half', () => req.socket.destroy());
    },
};

function serve(req, res) {
    (routes[req.url] || ((_, it) => it.writeHead(404).end('not here')))(req, res);
}

const server = cert ? https.createServer({cert: fs.readFileSync(cert), key: fs.readFileSync(key)}, serve)
                    : http.createServer(serve);
server.listen(0, '127.0.0.1', () => console.log(`port=${server.address().port};`));
