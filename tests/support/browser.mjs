// Chromium without a window, told what to do over a pipe.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const DEADLINE_MS = 18000;
const folder = mkdtempSync(join(tmpdir(), "browser-"));
const chromium = spawn("chromium", ["--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe",
    "--hide-scrollbars", "--force-color-profile=srgb", "--disable-background-networking", "--disable-component-update",
    "--ignore-certificate-errors", `--user-data-dir=${folder}`,
    ...(process.getuid() === 0 ? ["--no-sandbox"] : []), "about:blank"],
    { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
const answers = new Map();
const others = [];
let last = 0;
let text = "";

// What must not happen on a page: exceptions, complaints on the console, requests elsewhere. `allowed` says what may.
export const troubles = [];
export const allowed = { origin: "", log: () => false };

/* ---- the end ---- */

// Another process that has to go when this one does.
export function alongside(child) {
    others.push(child);
    return child;
}

/* Processes of the browser's own go a moment after it, and write until then. */
export async function end(status) {
    const gone = new Promise(resolve => chromium.once("exit", resolve));
    others.forEach(child => child.kill("SIGKILL"));
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

export function fail(why) {
    console.log(`FAILED: ${why}`);
    return end(1).then(() => new Promise(() => {}));
}

process.stdout.on("error", () => end(1)); // whoever read it has given up
for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"]) {
    process.on(signal, () => end(1));
}
process.on("uncaughtException", error => fail(error.stack));
process.on("unhandledRejection", error => fail(error.stack));
chromium.on("error", error => fail(error.message));

/* ---- the pipe ---- */

function heard(message) {
    const params = message.params;

    if (message.id) {
        answers.get(message.id)(message);
        answers.delete(message.id);
    } else if (message.method === "Runtime.exceptionThrown" || message.method === "Runtime.consoleAPICalled" ||
               (message.method === "Log.entryAdded" && !allowed.log(params.entry))) {
        troubles.push(JSON.stringify(params));
    } else if (message.method === "Network.requestWillBeSent" && !params.request.url.startsWith(allowed.origin)) {
        troubles.push(`asks elsewhere: ${params.request.url}`);
    }
}

chromium.stdio[4].setEncoding("utf8").on("data", piece => {
    const messages = (text + piece).split("\0");
    text = messages.pop();
    messages.map(message => JSON.parse(message)).forEach(heard);
});

function send(session, method, params = {}) {
    return new Promise(resolve => {
        answers.set(++last, resolve);
        chromium.stdio[3].write(JSON.stringify({ id: last, method, params, ...(session && { sessionId: session }) }) + "\0");
    }).then(answer => answer.error ? fail(`${method}: ${answer.error.message}`) : answer.result);
}

// On a busy machine this takes the longest.
export function started() {
    return send(null, "Browser.getVersion");
}

/* ---- pages ---- */

const codes = { Enter: 13, Tab: 9, Escape: 27, ArrowUp: 38, ArrowDown: 40, Home: 36, End: 35 };

export class Page {
    static async open(url) {
        const page = new Page();
        const { browserContextId } = await send(null, "Target.createBrowserContext");
        const { targetId } = await send(null, "Target.createTarget", { url: "about:blank", browserContextId });

        page.session = (await send(null, "Target.attachToTarget", { targetId, flatten: true })).sessionId;
        for (const part of ["Runtime", "Log", "Network", "Page"]) {
            await page.send(`${part}.enable`);
        }
        await page.send("Emulation.setFocusEmulationEnabled", { enabled: true });
        await page.send("Page.navigate", { url });
        return page;
    }

    send(method, params) {
        return send(this.session, method, params);
    }

    async evaluate(expression) {
        const result = await this.send("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
        return result.exceptionDetails ? fail(`${expression}: ${JSON.stringify(result.exceptionDetails)}`) : result.result.value;
    }

    async until(expression) {
        const deadline = Date.now() + DEADLINE_MS;
        while (!await this.evaluate(expression)) {
            if (Date.now() > deadline) {
                const body = await this.evaluate("document.body.innerText");
                await fail(`waited in vain for ${expression}\n${body}\n${troubles.join("\n")}`);
            }
            await new Promise(resolve => setTimeout(resolve, 50));
        }
    }

    // Until the text of the element holds these words.
    says(selector, words) {
        return this.until(`document.querySelector(${JSON.stringify(selector)})?.textContent.includes(${JSON.stringify(words)})`);
    }

    async press(key, modifiers = 0) {
        const event = { key, code: key, windowsVirtualKeyCode: codes[key], modifiers };
        await this.send("Input.dispatchKeyEvent", { type: "keyDown", ...event, ...(key === "Enter" && { text: "\r" }) });
        await this.send("Input.dispatchKeyEvent", { type: "keyUp", ...event });
    }

    async type(words) {
        await this.send("Input.insertText", { text: words });
    }

    media(features) {
        return this.send("Emulation.setEmulatedMedia",
            { features: Object.entries(features).map(([name, value]) => ({ name, value })) });
    }

    size(width, height, scale = 1) {
        return this.send("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: scale, mobile: false });
    }

    async picture() {
        return Buffer.from((await this.send("Page.captureScreenshot", { format: "png" })).data, "base64");
    }
}
