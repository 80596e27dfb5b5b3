/* A TLS client by Node's tls, for tests. Prints NAME=VALUE lines, each as soon as it is known.
 *
 * node tls_peer.js MODE PORT CA [CERT KEY]   MODE: echo, bursts, twice, bye, refused */
'use strict';
const crypto = require('crypto');
const fs = require('fs');
const tls = require('tls');

const DEADLINE_MS = 20000;
const MIB = 1 << 20;
const [mode, port, ca, cert, key] = process.argv.slice(2);

function say(name, value) {
    console.log(`${name}=${value}`);
}

function fail(error) {
    say('error', error.code || error.message);
    process.exit(1);
}

function dial(more) {
    const options = {host: '127.0.0.1', port: Number(port), servername: 'localhost', ca: fs.readFileSync(ca), ...more};
    if (cert) {
        options.cert = fs.readFileSync(cert);
        options.key = fs.readFileSync(key);
    }
    return tls.connect(options);
}

function tell(conn) {
    const peer = conn.getPeerCertificate();
    say('version', conn.getProtocol());
    say('cipher', conn.getCipher().standardName);
    say('alpn', conn.alpnProtocol || '');
    say('authorized', conn.authorized);
    say('reused', conn.isSessionReused());
    say('cn', peer.subject.CN);
    say('names', peer.subjectaltname);
    say('fingerprint', peer.fingerprint256.replaceAll(':', '').toLowerCase());
}

/* Calls done once as many bytes have come back. */
function echo(conn, length, done) {
    const data = crypto.randomBytes(length);
    const pieces = [];
    let got = 0;
    conn.on('data', (piece) => {
        pieces.push(piece);
        got += piece.length;
        if (got >= length) {
            say('echoed', Buffer.concat(pieces).equals(data) ? got : 'wrong');
            done();
        }
    });
    conn.write(data);
}

function finish(conn, then) {
    conn.on('end', () => say('end', 'came'));
    conn.on('close', (failed) => {
        say('ended', failed ? 'in failure' : 'in good order');
        then();
    });
    conn.end();
}

const modes = {
    echo() {
        const conn = dial({ALPNProtocols: ['causeway']});
        conn.on('error', fail);
        conn.on('secureConnect', () => {
            tell(conn);
            echo(conn, MIB, () => finish(conn, () => process.exit(0)));
        });
    },
    /* Much at once, and again once all of it is back. */
    bursts() {
        const conn = dial({});
        let left = 24;
        function next() {
            conn.removeAllListeners('data');
            if (left-- > 0) {
                echo(conn, MIB, next);
            } else {
                finish(conn, () => process.exit(0));
            }
        }
        conn.on('error', fail);
        conn.on('secureConnect', next);
    },
    twice() {
        let session;
        const first = dial({});
        first.on('error', fail);
        first.on('session', (data) => { session = data; });
        first.on('secureConnect', () => {
            say('first', first.isSessionReused());
            echo(first, 100, () => finish(first, again));
        });
        function again() {
            const second = dial({session});
            second.on('error', fail);
            second.on('secureConnect', () => {
                say('second', second.isSessionReused());
                echo(second, 100, () => finish(second, () => process.exit(0)));
            });
        }
    },
    bye() {
        const conn = dial({});
        conn.on('error', fail);
        conn.on('end', () => say('end', 'came'));
        conn.on('close', (failed) => {
            say('ended', failed ? 'in failure' : 'in good order');
            process.exit(0);
        });
        conn.on('secureConnect', () => conn.write('bye\n'));
        conn.resume();
    },
    refused() {
        const conn = dial({});
        conn.on('error', (error) => {
            say('refused', error.code);
            process.exit(0);
        });
        conn.on('close', () => {
            say('refused', 'no');
            process.exit(0);
        });
        conn.resume();
    },
};

setTimeout(() => fail(new Error('deadline')), DEADLINE_MS).unref();
modes[mode]();
