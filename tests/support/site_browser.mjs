// Chromium on the example site, told what to do over a pipe: node site_browser.mjs PROGRAM
// Prints a line for each thing that works, and ends with 1 at the first that does not.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const DEADLINE_MS = 18000;
const folder = mkdtempSync(join(tmpdir(), "site-"));
const site = spawn(process.argv[2], ["--port", "0", "--workers", "2"], { stdio: ["ignore", "pipe", "inherit"] });
const chromium = spawn("chromium", ["--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe",
    `--user-data-dir=${folder}`, ...(process.getuid() === 0 ? ["--no-sandbox"] : []), "about:blank"],
    { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });

/* Processes of the browser's own go a moment after it, and write until then. */
async function end(status) {
    const gone = new Promise(resolve => chromium.once("exit", resolve));
    site.kill("SIGKILL");
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
chromium.on("error", error => fail(error.message));

/* ---- the browser ---- */

const answers = new Map();
const troubles = [];
let base = "";
let last = 0;
let text = "";

function heard(message) {
    const params = message.params;

    if (message.id) {
        answers.get(message.id)(message);
    } else if (message.method === "Runtime.exceptionThrown" || message.method === "Log.entryAdded" ||
               message.method === "Runtime.consoleAPICalled") {
        troubles.push(JSON.stringify(params));
    } else if (message.method === "Network.requestWillBeSent" && !params.request.url.startsWith(base)) {
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

async function evaluate(page, expression) {
    const result = await send(page, "Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
    return result.exceptionDetails ? fail(`${expression}: ${JSON.stringify(result.exceptionDetails)}`) : result.result.value;
}

async function until(page, expression) {
    const deadline = Date.now() + DEADLINE_MS;
    while (!await evaluate(page, expression)) {
        if (Date.now() > deadline) {
            const body = await evaluate(page, "document.body.innerText");
            fail(`waited in vain for ${expression}\n${body}\n${troubles.join("\n")}`);
        }
        await new Promise(resolve => setTimeout(resolve, 50));
    }
}

async function press(page, key, code, typed) {
    const event = { key, code: key, windowsVirtualKeyCode: code };
    await send(page, "Input.dispatchKeyEvent", { type: "keyDown", ...event, ...(typed && { text: typed }) });
    await send(page, "Input.dispatchKeyEvent", { type: "keyUp", ...event });
}

async function open() {
    const { targetId } = await send(null, "Target.createTarget", { url: "about:blank" });
    const { sessionId } = await send(null, "Target.attachToTarget", { targetId, flatten: true });
    for (const part of ["Runtime", "Log", "Network", "Page"]) {
        await send(sessionId, `${part}.enable`);
    }
    await send(sessionId, "Page.navigate", { url: base });
    await until(sessionId, `document.getElementById("link")?.textContent.startsWith("Connected")`);
    return sessionId;
}

/* ---- what has to work ---- */

async function run() {
    const one = await open();
    await until(one, `document.getElementById("curve").getAttribute("points").split(" ").length >= 2`);
    await evaluate(one, `document.getElementById("load").click()`);
    await until(one, `Number(document.getElementById("peak").textContent) > 20`);
    console.log("the chart lives");

    const two = await open();
    await send(one, "Page.bringToFront");
    await evaluate(one, `document.getElementById("text").focus()`);
    for (const note of ["<b>tea</b>", "milk"]) {
        await send(one, "Input.insertText", { text: note });
        await press(one, "Enter", 13, "\r");
        await until(one, `document.getElementById("text").value === "" &&
                          document.getElementById("notes").innerText.includes(${JSON.stringify(note)})`);
    }
    await until(two, `document.querySelectorAll("#notes li").length === 2`);
    await press(one, "Tab", 9);
    await press(one, "Tab", 9);
    await until(one, `document.activeElement.getAttribute("aria-label") === "Remove: <b>tea</b>"`);
    await press(one, "Enter", 13, "\r");
    await until(one, `document.activeElement.getAttribute("aria-label") === "Remove: milk"`);
    await until(two, `document.querySelectorAll("#notes li").length === 1`);
    console.log("notes are written and removed by the keyboard, and seen in another window");

    await evaluate(one, `{
        const files = new DataTransfer();
        files.items.add(new File([new Uint8Array(20000000)], "large.bin"));
        document.getElementById("file").files = files.files;
        window.seen = new Set();
        new MutationObserver(() => seen.add(document.getElementById("uploaded").textContent))
            .observe(document.getElementById("uploaded"), { childList: true });
        document.getElementById("upload").requestSubmit();
    }`);
    await until(one, `document.getElementById("uploaded").textContent.startsWith("large.bin: 20000000 bytes")`);
    await until(one, `[...seen].some(text => / of 19\\.1 MiB$/.test(text)) && document.getElementById("progress").hidden`);
    console.log("an upload tells how far it is");

    const colour = await evaluate(one, `getComputedStyle(document.body).backgroundColor`);
    await send(one, "Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: "dark" }] });
    await until(one, `getComputedStyle(document.body).backgroundColor !== ${JSON.stringify(colour)}`);
    await send(one, "Emulation.setDeviceMetricsOverride", { width: 320, height: 600, deviceScaleFactor: 1, mobile: true });
    await until(one, `innerWidth === 320 && document.documentElement.scrollWidth <= 320`);
    console.log("it is dark where that is wanted, and fits a narrow screen");

    if (troubles.length > 0) {
        fail(troubles.join("\n"));
    }
    site.once("exit", status => {
        console.log(status === 0 ? "the server ends in good order while pages watch" : `FAILED: status ${status}`);
        end(status === 0 ? 0 : 1);
    });
    site.kill("SIGTERM");
}

let printed = "";
site.stdout.setEncoding("utf8").on("data", piece => {
    printed += base === "" ? piece : "";
    const found = /listening on (http:\S+)\n/.exec(printed);
    if (base === "" && found) {
        base = `${found[1]}/`;
        run();
    }
});
