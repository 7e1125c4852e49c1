// Where decisions are kept: in this browser, or with the server that wrote the page (data.served is its address).
// Lines are only ever appended. Every change ends in store.changed().
const store = {
  lines: [],
  changed: () => {},
  key: `gcd-longtail:${data.run}`,

  async start() {
    if (data.served) {
      await served.start();
      return;
    }
    store.lines = local.read();
    window.addEventListener("storage", (event) => {
      if (event.key !== store.key) return;
      store.lines = local.read(); // another tab decided something
      store.changed();
    });
  },

  append(lines) {
    if (data.served) served.append(lines);
    else {
      store.lines = local.read(store.lines).concat(lines);
      local.write(store.lines);
    }
    store.changed();
  },

  text() {
    const head = { action: "run", run: data.run, images: total, version: 1 };
    return [head, ...store.lines].map((line) => JSON.stringify(line) + "\n").join("");
  },

  // Append the lines of a file that are not here yet; throws what is wrong with it.
  load(text) {
    const lines = text.split("\n").filter((line) => line.trim()).map((line, i) => {
      try {
        return JSON.parse(line);
      } catch {
        throw new Error(`line ${i + 1} is damaged`);
      }
    });
    if (lines[0]?.action !== "run") throw new Error("it does not say which run it is about");
    if (lines[0].run !== data.run) throw new Error("it is about another run");
    const here = new Set(store.lines.map((line) => line.id));
    const fresh = lines.filter((line) => line.action !== "run" && !here.has(line.id));
    replay([...store.lines, ...fresh], data.names, assignments, knownNames); // throws before anything is kept
    if (fresh.length) store.append(fresh);
    return fresh.length;
  },
};

const local = {
  read(otherwise = []) {
    try {
      return JSON.parse(localStorage.getItem(store.key) ?? "[]");
    } catch {
      return otherwise;
    }
  },

  write(lines) {
    try {
      localStorage.setItem(store.key, JSON.stringify(lines));
      warn("");
    } catch {
      warn("This browser keeps nothing for this page. Save the decisions before you close it.");
    }
  },
};

const served = {
  unsent: [],
  busy: false,

  async start() {
    await served.exchange();
    setInterval(() => { if (!document.hidden) served.exchange(); }, 3000);
  },

  append(lines) {
    served.unsent.push(...lines);
    store.lines.push(...lines);
    served.exchange();
  },

  // Send what is new here and take what is new there. What counts is the order in the server's file.
  async exchange() {
    if (served.busy) return;
    served.busy = true;
    try {
      do {
        const sent = [...served.unsent], known = store.lines.length - sent.length;
        const answer = await fetch(`${data.served}decisions`, {
          method: "POST",
          headers: { "Content-Type": "application/json" },
          body: JSON.stringify({ after: known, lines: sent }),
        });
        if (!answer.ok) throw new Error(await answer.text());
        const { lines } = await answer.json();
        served.unsent.splice(0, sent.length);
        if (lines.length !== sent.length) {
          store.lines = [...store.lines.slice(0, known), ...lines, ...served.unsent];
          store.changed();
        }
      } while (served.unsent.length);
      warn("");
    } catch (error) {
      const what = error instanceof TypeError ? "The server has stopped." : `The server refused: ${error.message}`;
      const waiting = served.unsent.length === 1 ? "1 decision waits" : `${served.unsent.length} decisions wait`;
      const kept = served.unsent.length ? ` ${waiting} here: save them to a file, start \`gcd-longtail review\` again and load the file there.` : "";
      warn(`${what}${kept}`);
    } finally {
      served.busy = false;
    }
  },
};

function warn(text) {
  $("banner").textContent = text;
  $("banner").hidden = !text;
}
