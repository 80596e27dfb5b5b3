// Tries what a page does, and posts what has come of it: `NAME: good` or what went wrong, a line each.
'use strict';

const pattern = Uint8Array.from({ length: 100000 }, (_, i) => (i * 31 + (i >> 8) * 7) & 255);

function expect(name, found, wanted) {
    if (found !== wanted) {
        throw new Error(`${name}: ${found}, not ${wanted}`);
    }
}

async function text(path, options) {
    return (await fetch(path, options)).text();
}

const tries = {
    async stylesheet() {
        expect('color', getComputedStyle(document.getElementById('styled')).color, 'rgb(1, 2, 3)');
    },
    async json() {
        const answer = await fetch('/error/404', { headers: { Accept: 'application/json' } });
        expect('status', answer.status, 404);
        expect('body', (await answer.json()).status, 404);
    },
    async fetches() {
        expect('echo', await text('/echo', { method: 'POST', body: 'to and fro ä' }), 'to and fro ä');
        const numbers = await Promise.all(Array.from({ length: 30 }, (_, n) => text(`/number/${n}`)));
        expect('numbers', numbers.join(), Array.from({ length: 30 }, (_, n) => n).join());
        const bytes = new Uint8Array(await (await fetch('/chunks/100000')).arrayBuffer());
        expect('bytes', bytes.every((byte, i) => byte === pattern[i]), true);
        expect('zip', (await text('/zip')).length, 3000);
    },
    async cookies() {
        expect('set', await text('/cookie'), 'set');
        expect('sent back', await text('/cookies'), 'by-the-server to-scripts');
        expect('for scripts', document.cookie, 'open=to-scripts');
    },
    async upload() {
        const form = new FormData();
        form.append('name', 'Zoë');
        form.append('file', new File([pattern], 'größe.bin'));
        expect('answer', await text('/upload', { method: 'POST', body: form }), 'Zoë größe.bin 100000');
    },
    async form() {
        const frame = document.querySelector('iframe');
        const loaded = new Promise((resolve) => frame.addEventListener('load', resolve, { once: true }));
        document.getElementById('form').submit();
        await loaded;
        expect('answer', frame.contentDocument.getElementById('form').textContent, 'name=Zoë & Co color=grün');
    },
    events() {
        return new Promise((resolve, reject) => {
            const source = new EventSource('/events');
            const got = [];
            source.onmessage = (event) => got.push(`${event.lastEventId}=${event.data}`);
            source.addEventListener('end', (event) => { // behind a second connection, that tells what it has seen
                source.close();
                got.push(event.data);
                got.join() === '1=one,2=two\nlines,again' ? resolve() : reject(new Error(got.join()));
            });
        });
    },
};

async function main() {
    const lines = [];
    for (const name of Object.keys(tries)) {
        try {
            await tries[name]();
            lines.push(`${name}: good`);
        } catch (error) {
            lines.push(`${name}: ${error}`);
        }
    }
    await fetch('/result', { method: 'POST', body: lines.join('\n') });
}

addEventListener('load', () => main());
