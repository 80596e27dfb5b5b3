// Chromium on the example chat: node chat_browser.mjs PROGRAM FOLDER
// Prints a line for each thing that works, ends with 1 at the first that does not, and leaves pictures in FOLDER.
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Page, allowed, alongside, end, fail, started, troubles } from "./browser.mjs";

const [program, folder] = process.argv.slice(2);
const EVIL = `<img src=x onerror="document.title='evil'"><b>Eve</b>`;

/* ---- the server ---- */

// Starts it at this port, or a free one. Resolves to its port.
function serve(port) {
    return new Promise(resolve => {
        let printed = "";
        const chat = alongside(spawn(program, ["--port", `${port}`, "--tcp-port", "0", "--workers", "2"],
            { stdio: ["ignore", "pipe", "inherit"] }));
        chat.stdout.setEncoding("utf8").on("data", piece => {
            printed += piece;
            const found = /listening on http:\/\/127\.0\.0\.1:(\d+)\n/.exec(printed);
            if (found) {
                resolve({ chat, port: Number(found[1]) });
            }
        });
    });
}

function stop(server) {
    return new Promise(resolve => {
        server.chat.once("exit", status => status === 0 ? resolve() : fail(`the server ended with ${status}`));
        server.chat.kill("SIGTERM");
    });
}

/* ---- what people do ---- */

async function arrive(url, nickname, room) {
    const page = await Page.open(url);

    await page.until(`document.activeElement?.id === "nickname"`);
    await page.type(nickname);
    await page.press("Tab");
    await page.evaluate(`document.activeElement.select()`);
    await page.type(room);
    await page.press("Enter");
    await page.until(`document.getElementById("link").dataset.state === "ready"`);
    await page.says("#members", nickname);
    console.log(`${nickname} is in ${room}`);
    return page;
}

async function say(page, words) {
    await page.evaluate(`document.getElementById("text").focus()`);
    await page.type(words);
    await page.press("Enter");
    await page.until(`document.getElementById("text").value === ""`);
}

const heard = (page, words) => page.says("#lines", words);
const focused = page => page.evaluate(`document.activeElement.id || document.activeElement.textContent`);

// Tab until this has the focus: nothing may be out of reach.
async function reach(page, expression) {
    const passed = [];

    for (let i = 0; i < 30; i++) {
        if (await page.evaluate(expression)) {
            return;
        }
        passed.push(await focused(page));
        await page.press("Tab");
    }
    await fail(`Tab does not reach ${expression}, but ${passed.join(", ")}`);
}

async function expect(page, expression) {
    if (!await page.evaluate(expression)) {
        await fail(`${expression}\n${await page.evaluate("document.body.innerText")}`);
    }
}

/* ---- what has to work ---- */

async function chatting(ada, bob) {
    await say(ada, "Hello, Bob!");
    await heard(bob, "Hello, Bob!");
    await say(bob, "Hi Ada. Tea?");
    await heard(ada, "Hi Ada. Tea?");
    await say(ada, "Gladly.");
    await say(ada, "With milk.");
    await heard(bob, "With milk.");
    await expect(bob, `document.querySelectorAll("#lines .message.joined").length === 1`);
    await expect(bob, `/^\\d\\d/.test(document.querySelector("#lines .message time").textContent)`);
    await expect(ada, `document.getElementById("subtitle").textContent === "2 people"`);
    await heard(ada, "Bob joined");
    console.log("two windows chat");
}

// A picture for the documents.
async function portrait(url) {
    const words = [
        [0, "Good morning! The kettle is on."],
        [1, "Morning. Has anybody tried the reconnect yet? I pulled the plug on the server while I was typing."],
        [1, "My sentence was still in the box when it came back."],
        [2, "Same here, from the terminal:\n./dev run chat --connect 127.0.0.1:7340 --room tea"],
        [0, "So the three of us are in one room, two in a browser and one over TCP."],
    ];
    const pages = [];

    for (const name of ["Ada", "Grace", "Barbara", "Katherine"]) {
        pages.push(await arrive(url, name, name === "Katherine" ? "coffee" : "tea"));
    }
    for (const [who, text] of words) {
        await say(pages[who], text);
        await heard(pages[who === 0 ? 1 : 0], text.split("\n")[0]);
    }
    await pages[1].size(1100, 680);
    await pages[1].evaluate(`[...document.querySelectorAll("#members button")].find(b => b.textContent.includes("Ada")).click()`);
    await say(pages[1], "Shall I show them the dark one?");
    await pages[0].says("#threads .badge", "1");
    await pages[0].size(1100, 680);
    await pages[0].evaluate(`document.getElementById("text").focus()`);
    await pages[0].type("Yes, please. And");
    await pages[0].until(`document.getElementById("rooms").textContent.includes("coffee")`);
    writeFileSync(join(folder, "chat.png"), await pages[0].picture());
    for (const page of pages) {
        await page.send("Page.close");
    }
    console.log("a picture is taken of three people in a room");
}

async function markup(ada, bob, url) {
    const eve = await arrive(url, EVIL, "lobby");

    await ada.says("#members", EVIL);
    await say(eve, `<script>document.title="evil"</script> & <i>x</i> \u202e`);
    await heard(ada, `<script>document.title="evil"</script> & <i>x</i>`);
    await heard(bob, `<script>document.title="evil"</script> & <i>x</i>`);
    for (const page of [ada, bob, eve]) {
        await expect(page, `document.querySelector("#chat img, #chat b, #chat i, #chat script") === null`);
        await expect(page, `!document.title.includes("evil")`);
    }
    await eve.send("Page.close");
    await heard(ada, `${EVIL} left`);
    console.log("markup in a name and in a message stays text");
}

async function alone(ada, bob) {
    await ada.evaluate(`[...document.querySelectorAll("#members button")].find(b => b.textContent.includes("Bob")).click()`);
    await ada.says("#to", "To Bob only");
    await say(ada, "A word for you alone.");
    await bob.says("#threads .badge", "1");
    await bob.until(`document.title.startsWith("(1)")`);
    await bob.says("#notice", "Ada wrote to you alone.");
    await expect(bob, `!document.getElementById("lines").textContent.includes("A word for you alone")`);
    await bob.evaluate(`document.querySelector("#threads button").click()`);
    await heard(bob, "A word for you alone.");
    await bob.until(`!document.title.startsWith("(") && document.querySelector("#threads .badge") === null`);
    await bob.says("#to", "To Ada only");
    await say(bob, "Thank you.");
    await heard(ada, "Thank you.");
    console.log("a private message is marked unread, then read, and answered");
    await say(ada, "And this one in the room?");
    await ada.press("Escape");
    await ada.says("#title", "lobby");
    await say(ada, "Back in the room.");
    await bob.says("#rooms .badge", "1");
    await bob.press("Escape");
    await heard(bob, "Back in the room.");
    await bob.until(`document.querySelector("#rooms .badge") === null`);
    console.log("a room that is not looked at is marked too");
}

async function restart(server, ada, bob) {
    await ada.evaluate(`document.getElementById("text").focus()`);
    await ada.type("half a thou");
    await stop(server);
    for (const page of [ada, bob]) {
        await page.until(`document.getElementById("link").dataset.state !== "ready" && !document.getElementById("lost").hidden`);
    }
    await say(bob, "first, while away");
    await say(bob, "second, while away");
    await bob.says("#lines", "waiting for the connection");
    const again = await serve(server.port);
    for (const page of [ada, bob]) {
        await page.until(`document.getElementById("link").dataset.state === "ready" && document.getElementById("lost").hidden`);
        await page.until(`document.getElementById("subtitle").textContent === "2 people"`);
    }
    await bob.until(`!document.getElementById("lines").textContent.includes("waiting")`);
    await expect(ada, `document.getElementById("text").value === "half a thou"`);
    await ada.type("ght");
    await ada.press("Enter");
    await heard(bob, "half a thought");
    console.log("after a restart both are back in their room, and the unsent message is there");
    return again;
}

async function inOrder(ada, bob) {
    const words = ["one", "two", "three", "four"];

    await bob.send("Network.emulateNetworkConditions", { offline: true, latency: 0, downloadThroughput: -1, uploadThroughput: -1 });
    for (const word of words) {
        await say(bob, `in order: ${word}`);
    }
    await bob.send("Network.emulateNetworkConditions", { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: -1 });
    await heard(ada, "in order: four");
    await expect(ada, `[...document.querySelectorAll("#lines .text")].map(node => node.textContent)
        .filter(text => text.startsWith("in order")).join() === ${JSON.stringify(words.map(word => `in order: ${word}`).join())}`);
    console.log("what was written meanwhile arrives in its order");
}

async function keyboard(ada, bob) {
    await reach(ada, `document.activeElement.id === "new-room"`);
    await ada.type("kitchen");
    await ada.press("Enter");
    await ada.says("#title", "kitchen");
    await heard(bob, "Ada left");
    await bob.says("#rooms", "kitchen");
    await reach(bob, `document.activeElement.closest("#rooms") !== null`);
    await bob.press("Home");
    await expect(bob, `document.activeElement.textContent.startsWith("kitchen")`);
    await expect(bob, `document.activeElement.matches(":focus-visible") && getComputedStyle(document.activeElement).outlineStyle !== "none"`);
    await bob.press("ArrowDown");
    await expect(bob, `document.activeElement.textContent.startsWith("lobby")`);
    await bob.press("ArrowUp");
    await bob.press("Enter");
    await bob.says("#title", "kitchen");
    await heard(ada, "Bob joined");
    await bob.until(`document.activeElement.id === "text"`);
    await bob.type("line one");
    await bob.press("Enter", 8);
    await bob.type("line two");
    await bob.press("Enter");
    await heard(ada, "line one\nline two");
    await reach(bob, `document.activeElement.closest("#members") !== null`);
    await bob.press("ArrowDown");
    await bob.press("Enter");
    await bob.says("#to", "To Ada only");
    await bob.press("Escape");
    await bob.says("#title", "kitchen");
    await reach(bob, `document.activeElement.id === "rename"`);
    await bob.press("Enter");
    await bob.until(`document.activeElement.id === "new-name"`);
    await bob.type("Robert");
    await bob.press("Enter");
    await heard(ada, "Bob is now Robert");
    await bob.says("#my-name", "Robert");
    console.log("the keyboard does it all");
}

async function limits(ada) {
    await ada.evaluate(`{
        const text = document.getElementById("text");
        text.value = "é".repeat(33000);
        text.dispatchEvent(new Event("input"));
    }`);
    await ada.says("#length", "bytes too long to be sent");
    await expect(ada, `document.getElementById("send").disabled`);
    await ada.evaluate(`{
        const text = document.getElementById("text");
        text.value = "";
        text.dispatchEvent(new Event("input"));
        document.getElementById("new-room").value = "é".repeat(33);
        document.getElementById("make").requestSubmit();
    }`);
    await ada.says("#new-room-trouble", "2 bytes too long");
    await ada.evaluate(`document.getElementById("new-room").value = ""`);
    console.log("what is too long is said before it is sent");
}

// What WCAG 2.1 (1.4.3) calls contrast, of each element's colour over the nearest background.
const CONTRASTS = `(() => {
    const channel = value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    const light = colour => {
        const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).map(value => channel(value / 255));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = node => {
        const colour = node ? getComputedStyle(node).backgroundColor : "rgb(255, 255, 255)";
        return colour === "rgba(0, 0, 0, 0)" ? behind(node.parentElement) : colour;
    };
    const paint = document.querySelector("#lines .name");
    const least = [];
    for (const node of document.querySelectorAll("#chat p, #chat time, #chat bdi, #chat small, #chat h1, #chat h2, #chat label, #chat .mark")) {
        const [a, b] = [light(getComputedStyle(node).color), light(behind(node))].sort((x, y) => y - x);
        if (node.checkVisibility() && node.textContent.trim() !== "") {
            least.push([(a + 0.05) / (b + 0.05), node.className || node.tagName]);
        }
    }
    for (let hue = 0; paint && hue < 360; hue += 15) {
        paint.style.setProperty("--hue", hue);
        const [a, b] = [light(getComputedStyle(paint).color), light(behind(paint))].sort((x, y) => y - x);
        least.push([(a + 0.05) / (b + 0.05), "hue " + hue]);
    }
    return least.sort(([a], [b]) => a - b).slice(0, 3);
})()`;

async function readable(page) {
    const least = await page.evaluate(CONTRASTS);

    if (least.length < 3 || least[0][0] < 4.5) {
        await fail(`too little contrast: ${JSON.stringify(least)}`);
    }
}

// Whoever cannot see the page is told what each thing is.
async function named(page) {
    await page.send("Accessibility.enable");
    const { nodes } = await page.send("Accessibility.getFullAXTree");
    const unnamed = nodes.filter(node => ["button", "textbox", "log", "navigation", "complementary", "list", "dialog"]
        .includes(node.role?.value) && !node.ignored && !node.name?.value && node.role.value !== "list");

    if (unnamed.length > 0) {
        await fail(`without a name: ${JSON.stringify(unnamed.map(node => [node.role.value, node.properties]))}`);
    }
}

async function reload(ada, bob) {
    await ada.evaluate(`location.reload()`);
    await heard(bob, "Ada left");
    await ada.until(`document.getElementById("link")?.dataset.state === "ready"`);
    await ada.until(`document.getElementById("subtitle").textContent === "2 people"`);
    await say(bob, "welcome back");
    await heard(ada, "welcome back");
    console.log("a page that is loaded anew is in its room again");
}

async function looks(ada) {
    await readable(ada);
    await named(ada);
    const colour = await ada.evaluate(`getComputedStyle(document.body).backgroundColor`);

    await ada.media({ "prefers-color-scheme": "dark" });
    await ada.until(`getComputedStyle(document.body).backgroundColor !== ${JSON.stringify(colour)}`);
    await readable(ada);
    await ada.size(1100, 680);
    writeFileSync(join(folder, "chat-dark.png"), await ada.picture());
    await ada.size(320, 568);
    await ada.until(`innerWidth === 320 && document.documentElement.scrollWidth <= 320`);
    await expect(ada, `document.getElementById("text").getBoundingClientRect().bottom <= innerHeight`);
    await expect(ada, `getComputedStyle(document.getElementById("places")).display === "none"`);
    writeFileSync(join(folder, "chat-narrow.png"), await ada.picture());
    await reach(ada, `document.activeElement.id === "show-people"`);
    await ada.press("Enter");
    await ada.until(`document.activeElement.closest("#people") !== null`);
    await ada.until(`document.documentElement.scrollWidth <= 320`);
    writeFileSync(join(folder, "chat-narrow-people.png"), await ada.picture());
    await ada.press("Escape");
    await expect(ada, `getComputedStyle(document.getElementById("people")).display === "none" && document.activeElement.id === "show-people"`);
    console.log("it is dark where that is wanted, and fits a narrow screen");
}

async function run() {
    await started();
    console.log("Chromium is there");
    let server = await serve(0);
    const url = `http://127.0.0.1:${server.port}/`;

    allowed.origin = `http://127.0.0.1:${server.port}/`;
    allowed.log = entry => entry.url?.startsWith("ws://") || /WebSocket connection to/.test(entry.text);
    await portrait(url);
    const ada = await arrive(url, "Ada", "lobby");
    const bob = await arrive(url, "Bob", "lobby");
    for (const page of [ada, bob]) {
        await page.size(1100, 680);
    }
    await chatting(ada, bob);
    await markup(ada, bob, url);
    await alone(ada, bob);
    server = await restart(server, ada, bob);
    await inOrder(ada, bob);
    await limits(ada);
    await keyboard(ada, bob);
    await reload(ada, bob);
    await looks(ada);
    if (troubles.length > 0) {
        await fail(troubles.join("\n"));
    }
    await stop(server);
    console.log("the server ends in good order while pages are open");
    end(0);
}

run();
