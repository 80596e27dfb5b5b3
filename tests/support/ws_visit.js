// What a client with the WebSocket API has to be able to do with a ws_gallery: node ws_visit.js ws://HOST:PORT, and in browsers
// visit(WebSocket, "ws://HOST:PORT"), which returns what there is to do, one function each.
function visit(Socket, base) {
    function open(path, names) {
        const socket = names ? new Socket(base + path, names) : new Socket(base + path);
        const waiting = [];
        const came = [];

        socket.binaryType = "arraybuffer";
        socket.onmessage = event => waiting.length > 0 ? waiting.shift().resolve(event.data) : came.push(event.data);
        socket.ended = new Promise(resolve => {
            socket.onclose = event => {
                waiting.forEach(one => one.reject(new Error(`${path}: closed with ${event.code} ${event.reason}`)));
                resolve(event);
            };
        });
        socket.next = () => came.length > 0 ? Promise.resolve(came.shift())
                                            : new Promise((resolve, reject) => waiting.push({ resolve, reject }));
        socket.ask = message => (socket.send(message), socket.next());
        return new Promise((resolve, reject) => {
            socket.onopen = () => resolve(socket);
            socket.onerror = () => reject(new Error(`${path}: not open`));
        });
    }

    function expect(is, what) {
        if (!is) {
            throw new Error(what);
        }
    }

    function bytes(len) {
        const made = new Uint8Array(len);
        for (let i = 0; i < len; i++) {
            made[i] = i * 31 + (i >> 8) * 7;
        }
        return made;
    }

    function same(buffer, expected) {
        const got = new Uint8Array(buffer);
        for (let i = 0; i < expected.length; i++) {
            if (got[i] !== expected[i]) {
                return false;
            }
        }
        return got.length === expected.length;
    }

    async function echoes() {
        const socket = await open("/ws");
        for (const text of ["hello", "", "grüße ✓ 🎉", "\u0000", "x".repeat(125), "x".repeat(126), "x".repeat(65535),
                            "ü".repeat(32768), "x".repeat(65536)]) {
            expect(await socket.ask(text) === text, `not echoed: ${text.length} of ${text.slice(0, 20)}`);
        }
        for (const len of [0, 1, 125, 126, 127, 65535, 65536, 100000]) {
            expect(same(await socket.ask(bytes(len)), bytes(len)), `not echoed: ${len} bytes`);
        }
        for (let i = 0; i < 500; i++) {
            socket.send(`${i}`);
        }
        for (let i = 0; i < 500; i++) {
            expect(await socket.next() === `${i}`, `out of order at ${i}`);
        }
        socket.close();
        await socket.ended;
    }

    async function large() {
        const socket = await open("/ws");
        const data = bytes(2 << 20);
        expect(same(await socket.ask(data), data), "2 MiB are not echoed");
        const text = "äöü ".repeat(1 << 17);
        expect(await socket.ask(text) === text, "a long text is not echoed");
        socket.close();
        await socket.ended;
    }

    async function compressed() {
        const socket = await open("/z");
        expect(socket.extensions.startsWith("permessage-deflate"), `extensions: ${socket.extensions}`);
        for (let i = 0; i < 50; i++) {
            const text = JSON.stringify({ number: i, list: Array.from({ length: 200 }, (_, j) => ({ id: j, name: `n${i}` })) });
            expect(await socket.ask(text) === text, `not echoed: JSON ${i}`);
        }
        const noise = Uint8Array.from({ length: 300000 }, () => Math.random() * 256);
        expect(same(await socket.ask(noise), noise), "noise is not echoed");
        const data = bytes(1 << 20);
        expect(same(await socket.ask(data), data), "1 MiB is not echoed");
        socket.close(1000);
        expect((await socket.ended).code === 1000, "a compressed one does not end well");
    }

    async function closes() {
        for (const [path, ours, code, reason] of [["/ws", [4001, "why"], 4001, null], ["/ws", [1000], 1000, null],
                                                   ["/ws", [], 1005, ""], ["/bye", null, 4002, "enough"]]) {
            const socket = await open(path);
            if (ours) {
                socket.close(...ours);
            } else {
                socket.send("go");
            }
            const event = await socket.ended;
            expect(event.wasClean && event.code === code && (reason === null || event.reason === reason),
                   `${path} ${ours}: ${event.wasClean} ${event.code} ${event.reason}`);
        }
        const socket = await open("/ws");
        socket.send(bytes((4 << 20) + 1));
        const event = await socket.ended;
        expect(event.code === 1009, `too big: ${event.code} ${event.reason}`);
    }

    async function pings() {
        const socket = await open("/ping");
        expect(await socket.next() === "pong: are you there", "a ping was not answered well");
        socket.close();
        await socket.ended;
    }

    async function names() {
        const socket = await open("/names", ["a", "b", "c"]);
        expect(await socket.next() === "b" && socket.protocol === "b", `the subprotocol is ${socket.protocol}`);
        socket.close();
        await socket.ended;
    }

    async function refused() {
        for (const path of ["/nowhere", "/"]) {
            const opened = await open(path).then(() => true, () => false);
            expect(!opened, `${path} is open`);
        }
    }

    return { echoes, large, compressed, closes, pings, names, refused };
}

async function main() {
    for (const one of Object.values(visit(globalThis.Bun ? WebSocket : require("ws"), process.argv[2]))) {
        await one();
        console.log(`${one.name}: good`);
    }
    console.log("all is well");
}

if (typeof process !== "undefined" && process.argv[2]) {
    main().then(() => process.exit(0), error => { console.log(`FAILED: ${error.stack}`); process.exit(1); });
}
