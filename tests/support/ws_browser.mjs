// Chromium visits a ws_gallery: node ws_browser.mjs http://HOST:PORT, told what to do over a pipe.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const base = process.argv[2];
const folder = mkdtempSync(join(tmpdir(), "ws-browser-"));
const chromium = spawn("chromium", ["--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe",
    "--disable-background-networking", "--disable-component-update", "--ignore-certificate-errors",
    `--user-data-dir=${folder}`, ...(process.getuid() === 0 ? ["--no-sandbox"] : []), "about:blank"],
    { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });

/* Processes of the browser's own go a moment after it, and write until then. */
async function end(status) {
    const gone = new Promise(resolve => chromium.once("exit", resolve));
    if (chromium.kill("SIGKILL")) {
        await gone;
    }
    for (let i = 0; i < 30; i++) {
        try {
            rmSync(folder, { recursive: true, force: true });
            break;
        } catch {
            await new Promise(resolve => setTimeout(resolve, 100));
        }
    }
    process.exit(status);
}

function fail(why) {
    console.log(`FAILED: ${why}`);
    end(1);
}

process.on("uncaughtException", error => fail(error.stack));
process.on("SIGTERM", () => fail("stopped"));
chromium.on("error", error => fail(error.message));

const answers = new Map();
let last = 0;
let text = "";
let loaded;
const load = new Promise(resolve => { loaded = resolve; });

chromium.stdio[4].setEncoding("utf8").on("data", piece => {
    const messages = (text + piece).split("\0");
    text = messages.pop();
    for (const message of messages.map(one => JSON.parse(one))) {
        if (message.id) {
            answers.get(message.id)(message);
        } else if (message.method === "Page.loadEventFired") {
            loaded();
        }
    }
});

function send(session, method, params = {}) {
    return new Promise(resolve => {
        answers.set(++last, resolve);
        chromium.stdio[3].write(JSON.stringify({ id: last, method, params, ...(session && { sessionId: session }) }) + "\0");
    }).then(answer => answer.error ? fail(`${method}: ${answer.error.message}`) : answer.result);
}

async function evaluate(page, expression) {
    const result = await send(page, "Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
    return result.exceptionDetails ? fail(result.exceptionDetails.exception.description) : result.result.value;
}

const { targetId } = await send(null, "Target.createTarget", { url: "about:blank" });
const { sessionId: page } = await send(null, "Target.attachToTarget", { targetId, flatten: true });
await send(page, "Page.enable");
await send(page, "Page.navigate", { url: `${base}/` });
await load;
await evaluate(page, readFileSync(new URL("ws_visit.js", import.meta.url), "utf8"));
for (const name of await evaluate(page, `Object.keys(steps = visit(WebSocket, ${JSON.stringify(base.replace(/^http/, "ws"))}))`)) {
    await evaluate(page, `steps.${name}()`);
    console.log(`${name}: good`);
}

/* A page of the server's own is let in; where another site's is wanted, it is not. */
const refused = await evaluate(page, `new Promise(resolve => {
    const socket = new WebSocket(${JSON.stringify(base.replace(/^http/, "ws"))} + "/elsewhere");
    socket.onopen = () => resolve("open");
    socket.onclose = event => resolve(event.code);
})`);
if (refused !== 1006) {
    fail(`origins: ${refused}`);
} else {
    console.log("origins: good\nall is well");
    end(0);
}
