// Node's fetch, for tests of our server. Prints `all is well`. With TLS, NODE_EXTRA_CA_CERTS names whom to trust.
//
// node http_visit.js BASE
'use strict';
const assert = require('assert');

const base = process.argv[2];
const pattern = Buffer.from(Array.from({ length: 65536 }, (_, i) => (i * 31 + (i >> 8) * 7) & 255));

async function ask(path, status, options) {
    const answer = await fetch(base + path, options);
    const body = Buffer.from(await answer.arrayBuffer());
    assert.strictEqual(answer.status, status, `${path}: ${answer.status} ${body.subarray(0, 200)}`);
    return { answer, body, text: body.toString() };
}

async function expectText(path, text, options) {
    assert.strictEqual((await ask(path, 200, options)).text, text);
}

async function* pieces(data, size) {
    for (let at = 0; at < data.length; at += size) {
        yield data.subarray(at, at + size);
    }
}

async function expectBodies() {
    const all = Buffer.concat(Array(8).fill(pattern));
    const post = { method: 'POST', body: all };
    assert((await ask('/echo', 200, post)).body.equals(all));
    const stream = { method: 'POST', body: pieces(all, 10000), duplex: 'half' };
    assert((await ask('/stream', 200, stream)).body.equals(all));
    await expectText('/count', String(all.length), { method: 'PUT', body: pieces(all, 777), duplex: 'half' });
    assert((await ask('/chunks/300000', 200)).body.equals(all.subarray(0, 300000)));
    assert((await ask('/pattern/300000', 200)).body.equals(all.subarray(0, 300000)));
}

async function expectForms() {
    const form = new FormData();
    form.append('name', 'Zoë');
    form.append('file', new Blob([pattern]), 'pattern.bin');
    assert.strictEqual((await ask('/upload', 201, { method: 'POST', body: form })).text, 'Zoë pattern.bin 65536');
    const fields = new URLSearchParams({ name: 'a b&c', color: 'grün' });
    await expectText('/form', '<p id=form>name=a b&c color=grün</p>', { method: 'POST', body: fields });
}

async function expectFiles() {
    const { answer, text } = await ask('/files/page.txt', 200);
    assert.strictEqual(text, 'a page\n');
    assert.strictEqual(answer.headers.get('content-type'), 'text/plain; charset=utf-8');
    await ask('/files/page.txt', 304, { headers: { 'If-None-Match': answer.headers.get('etag') } });
    assert.strictEqual((await ask('/files/page.txt', 206, { headers: { Range: 'bytes=2-5' } })).text, 'page');
    const zip = await ask('/zip', 200);
    assert(['br', 'gzip'].includes(zip.answer.headers.get('content-encoding')));
    assert.strictEqual(zip.text, 'the same line again and again\n'.repeat(100));
}

async function main() {
    for (let n = 0; n < 50; n++) {
        await expectText(`/number/${n}`, String(n));
    }
    await Promise.all(Array.from({ length: 50 }, (_, n) => expectText(`/number/${n}`, String(n))));
    await expectBodies();
    await expectForms();
    await expectFiles();
    await expectText('/go', 'hello');
    assert.strictEqual((await ask('/hello', 200, { method: 'HEAD' })).text, '');
    await ask('/nowhere', 404);
    const found = JSON.parse((await ask('/error/418', 418, { headers: { Accept: 'application/json' } })).text);
    assert.strictEqual(found.status, 418);
    await assert.rejects(ask('/broken', 200));
    const stop = new AbortController();
    const endless = await fetch(base + '/chunks/100000000', { signal: stop.signal });
    stop.abort();
    await assert.rejects(endless.arrayBuffer());
    await expectText('/hello', 'hello');
    console.log('all is well');
}

main().catch((error) => {
    console.log(error);
    process.exit(1);
});
