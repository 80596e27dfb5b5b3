// The connection: a WebSocket that is made again when it breaks, and the letters that wait for it.
//
// A letter is { message, state }. Whatever changes something (a message, another room, another name) is one and leaves in
// the order in which it was posted, so what was typed while the server was away arrives as it would have. A letter is
// "waiting" until it is handed to the socket, "sent" until the server has answered a ping that was sent behind it, and
// then "done". One that was "sent" when the connection broke is "unsure": only people can tell whether to say it again.

const BACK_OFF_MS = [500, 1000, 2000, 4000, 8000, 10000];
const OPEN_MS = 10000;
const PING_MS = 25000;
const PONG_MS = 10000;
const BUFFERED_MAX = 262144;

export class Link {
    #hooks;
    #url;
    #socket = null;
    #attempts = 0;
    #timers = new Map();
    #letters = []; // waiting, oldest first
    #underway = []; // sent, oldest first
    #fences = []; // of pings: the last letter that each of them follows
    #count = 0;
    #tokens = 0;
    #filled = 0;
    #rate = 20;

    // hooks: state(name, retryAtMs), news(message), letter(letter)
    constructor(url, hooks) {
        this.#url = url;
        this.#hooks = hooks;
        this.state = "idle"; // connecting, entering, ready, lost
        this.nickname = "";
        this.room = ""; // as of the last letter that has left
        window.addEventListener("online", () => this.retry());
        window.addEventListener("pagehide", () => this.#socket?.close());
        window.addEventListener("pageshow", event => event.persisted && this.retry());
    }

    // Messages a second that the server allows one client.
    set rate(messagesPerSecond) {
        this.#rate = messagesPerSecond > 0 ? messagesPerSecond : 1e6;
    }

    enter(nickname, room) {
        this.nickname = nickname;
        this.room = room;
        this.#connect();
    }

    // Keeps a message until it can be sent.
    post(message) {
        const letter = { message, state: "waiting" };

        this.#letters.push(letter);
        this.#pump();
        return letter;
    }

    // Sends a question whose answer is of no use later. Returns whether it left.
    ask(message) {
        const can = this.state === "ready" && this.#letters.length === 0;

        if (can) {
            this.#send(message);
        }
        return can;
    }

    // Does not wait for the back-off to pass.
    retry() {
        if (this.state === "lost") {
            this.#connect();
        }
    }

    // ---- life ----

    #tell(state, retryAt) {
        this.state = state;
        this.#hooks.state(state, retryAt);
    }

    #after(name, ms, fn) {
        clearTimeout(this.#timers.get(name));
        this.#timers.set(name, setTimeout(fn, ms));
    }

    #connect() {
        const socket = new WebSocket(this.#url);

        this.#forgetTimers();
        this.#socket = socket;
        this.#tell("connecting");
        this.#after("open", OPEN_MS, () => this.#drop(socket));
        socket.onopen = () => this.#opened(socket);
        socket.onmessage = event => socket === this.#socket && this.#heard(event.data);
        socket.onclose = () => this.#drop(socket);
    }

    #opened(socket) {
        if (socket === this.#socket) {
            this.#tell("entering");
            this.#send({ type: "login", nickname: this.nickname });
        }
    }

    #forgetTimers() {
        this.#timers.forEach(timer => clearTimeout(timer));
        this.#timers.clear();
    }

    // A socket that has gone, or that is given up: its close can take minutes on a dead line, and nobody waits for it.
    #drop(socket) {
        if (socket !== this.#socket) {
            return;
        }
        const pause = BACK_OFF_MS[Math.min(this.#attempts, BACK_OFF_MS.length - 1)] * (0.75 + Math.random() / 2);

        this.#socket = null;
        this.#attempts++;
        this.#forgetTimers();
        socket.close();
        this.#fences = [];
        this.#underway.splice(0).forEach(letter => this.#mark(letter, "unsure"));
        this.#after("retry", pause, () => this.#connect());
        this.#tell("lost", Date.now() + pause);
    }

    // ---- hearing ----

    #heard(text) {
        let message;

        try {
            message = JSON.parse(text);
        } catch {
            return;
        }
        if (message.type === "pong") {
            this.#answered();
        } else if (message.type === "error" && this.state === "entering") {
            this.#hooks.news(message);
            this.#drop(this.#socket);
            return;
        } else if (message.type === "login_success" && this.state === "entering") {
            this.#entered(message);
            return;
        }
        this.#hooks.news(message);
    }

    #entered(message) {
        this.#attempts = 0;
        this.#tokens = this.#rate;
        this.#filled = performance.now();
        this.#forgetTimers();
        this.#hooks.news(message);
        if (this.room !== "") {
            this.#send({ type: "join_room", room: this.room });
        }
        this.#beat();
        this.#tell("ready");
        this.#pump();
    }

    #answered() {
        const fence = this.#fences.shift() ?? 0;

        clearTimeout(this.#timers.get("pong"));
        while (this.#underway.length > 0 && this.#underway[0].number <= fence) {
            this.#mark(this.#underway.shift(), "done");
        }
        if (this.#underway.length > 0 && this.#fences.length === 0) {
            this.#ping();
        }
    }

    // The letter that an error is about, as far as can be told: the oldest one of that type that nobody has answered for.
    suspect(type) {
        const index = this.#underway.findIndex(letter => letter.message.type === type);

        return index < 0 ? undefined : this.#underway.splice(index, 1)[0];
    }

    // ---- sending ----

    #send(message) {
        this.#socket.send(JSON.stringify(message));
        this.#tokens--;
    }

    #ping() {
        this.#send({ type: "ping" });
        this.#fences.push(this.#count);
        this.#after("pong", PONG_MS, () => this.#drop(this.#socket));
    }

    // A dead line says nothing. Only an answer proves that it lives.
    #beat() {
        this.#after("beat", PING_MS, () => {
            if (this.#fences.length === 0) {
                this.#ping();
            }
            this.#beat();
        });
    }

    #mark(letter, state) {
        letter.state = state;
        this.#hooks.letter(letter);
    }

    // At most as fast as the server takes it, so that its limit is never met.
    #mayPost() {
        const now = performance.now();

        this.#tokens = Math.min(this.#rate, this.#tokens + (now - this.#filled) / 1000 * this.#rate * 0.8);
        this.#filled = now;
        return this.#tokens >= 2 && this.#socket.bufferedAmount < BUFFERED_MAX;
    }

    #pump() {
        while (this.state === "ready" && this.#letters.length > 0) {
            if (!this.#mayPost()) {
                this.#after("pump", 100, () => this.#pump());
                return;
            }
            this.#leave(this.#letters.shift());
        }
    }

    #leave(letter) {
        const { type, room, nickname } = letter.message;

        this.#send(letter.message);
        letter.number = ++this.#count;
        this.#underway.push(letter);
        this.room = type === "join_room" ? room : type === "leave_room" ? "" : this.room;
        this.nickname = type === "login" ? nickname : this.nickname;
        this.#mark(letter, "sent");
        if (this.#fences.length === 0) {
            this.#ping();
        }
    }
}
