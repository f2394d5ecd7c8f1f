// The interactive timeline: one axis of time for lateness, sound, chunks, words and turns. It is
// given all data once and draws by itself; names and texts are only ever set as text.

const LEFT = 64, RIGHT = 14;  // pixels beside the axis
const KINDS = ["chunks", "words", "turns"], HEIGHTS = {chunks: 16, words: 30, turns: 38};
const TRACE = 132, WAVE = 40, AXIS = 22;
const NEAR = 3;  // pixels: chunks nearer than that are one band
const HELP = "Left and right arrows move, Enter plays, + and \u2212 zoom, 0 shows all";

function filled(one, attributes = {}, inside) {
  for (const [name, value] of Object.entries(attributes))
    if (name.startsWith("on")) one[name] = value;
    else if (value !== undefined) one.setAttribute(name, value);
  one.append(...inside);
  return one;
}
const made = (tag, attributes, ...inside) => filled(document.createElement(tag), attributes, inside);
const drawn = (tag, attributes, ...inside) =>
  filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, inside);

const minus = text => text.replace("-", "\u2212");
const ms = value => value === null ? "\u2013"
  : Math.abs(value) >= 10000 ? minus(`${(value / 1000).toFixed(3)} s`) : minus(`${value.toFixed(1)} ms`);
const at = seconds => seconds === null ? "an unknown instant" : minus(`${seconds.toFixed(3)} s`);
const lateness = chunk => `${ms(Math.abs(late(chunk)))} ${late(chunk) < 0 ? "early" : "late"}`;
const late = ([, , due, sent]) => Math.round((sent - due) * 1e4) / 10;

function steps(from, to, most) {
  const size = 10 ** Math.floor(Math.log10(to - from));
  const step = [0.1, 0.2, 0.5, 1, 2, 5].map(part => part * size).find(one => (to - from) / one <= most)
    ?? 10 * size;
  const marks = [];
  for (let i = Math.ceil(from / step - 1e-9); i * step <= to + step * 1e-9; i++)
    marks.push(Number((i * step).toPrecision(8)));
  return marks;
}

// A color as dark themes show it: turned over with its hue kept, as they do with figures.
function turned(hex) {
  const [r, g, b] = [1, 3, 5].map(place => 237 - 0.86 * parseInt(hex.slice(place, place + 2), 16));
  const hue = [-0.574 * r + 1.43 * g + 0.144 * b, 0.426 * r + 0.43 * g + 0.144 * b, 0.426 * r + 1.43 * g - 0.856 * b];
  const gray = 0.213 * hue[0] + 0.715 * hue[1] + 0.072 * hue[2];
  return `rgb(${hue.map(value => Math.round(Math.min(255, Math.max(0, gray + 1.3 * (value - gray))))).join()})`;
}

function show(box, data, kept = {}) {
  if (!data.sessions) {
    box.replaceChildren();
    return {update: () => false, end: () => {}};
  }
  let {sessions} = data;
  const {parts, wave} = data;
  let [from, to] = kept.view?.[1] <= data.seconds ? kept.view : [0, data.seconds];
  let chosen = null, width = 0, dark = false;
  const rows = [];
  const ink = color => dark ? turned(color) : color;
  const scale = () => (width - LEFT - RIGHT) / (to - from);
  const x = instant => (instant - from) * scale();

  // What is chosen, and what is told of it.

  const items = (session, kind) => sessions[session][kind] ?? [];
  const span = (kind, item) => kind === "chunks" ? [item[0], item[3]]
    : [item.start ?? item.end ?? item.received, item.received];
  const named = one => sessions.length > 1 ? `, ${sessions[one].name}` : "";

  function title({session, kind, index}) {
    if (kind === "chunks") return (data.live ? "A chunk" : `Chunk ${index}`) + named(session);
    if (kind === "turns") return `Turn ${index + 1}${named(session)}`;  // as in the figures
    return `\u201c${items(session, kind)[index].text}\u201d${named(session)}`;
  }

  function choose(next) {
    chosen = next;
    const [start, end] = span(next.kind, items(next.session, next.kind)[next.index]);
    if (end < from || start > to) look(start - (to - from) / 2, start + (to - from) / 2);
    tell();
    draw();
  }

  function play(start) {
    if (!audio) return;
    audio.currentTime = Math.max(0, start) / data.speed;
    audio.play();
  }

  function tell() {
    const {session, kind, index} = chosen, item = items(session, kind)[index];
    const [start] = span(kind, item);
    const told = [made("b", {}, title(chosen))];
    if (kind === "turns") told.push(made("p", {class: "rt-text"}, item.text));
    if (audio) told.push(made("button", {type: "button", onclick: () => play(start)}, "\u25b6 Play from here"));
    if (kind === "chunks") told.push(...aboutChunk(session, index, item));
    else told.push(...aboutLatency(session, kind, item));
    detail.replaceChildren(...told);
  }

  function aboutChunk(session, index, item) {
    const [start, end, due, sent] = item;
    if (data.live) return [made("p", {}, `${lateness(item)}: it was due at ${at(due)} and sent at ${at(sent)}.`)];
    const holds = items(session, "words").filter(word => word.chunk === index).map(word => word.text);
    const decided = items(session, "turns").flatMap((turn, i) => turn.decided === index ? [i + 1] : []);
    const held = items(session, "stalls").some(([, over]) => over > due && over <= sent + 0.001);
    return [
      made("p", {}, `${lateness(item)}: it holds the audio `
        + `from ${at(start)} to ${at(end)}, was due at ${at(due)} and sent at ${at(sent)}.`
        + (held ? " The sender's loop had stalled." : "")),
      made("p", {}, holds.length ? `Words that end in it: ${holds.join(" ")}.` : "No word ends in it.",
        decided.length ? ` It decided turn ${decided.join(", ")}.` : ""),
    ];
  }

  function aboutLatency(session, kind, item) {
    const what = kind === "turns" ? "final" : "final text";
    const told = [made("p", {}, item.parts
      ? `Latency ${ms(item.latency)}: it ended at ${at(item.end)}, and its ${what} came at ${at(item.received)}.`
      : `Its end is not known; its ${what} came at ${at(item.received)}.`)];
    if (item.parts) {
      const shown = Object.entries(item.parts);
      const whole = shown.reduce((sum, [, value]) => sum + Math.max(0, value), 0) || 1;
      told.push(
        made("div", {class: "rt-bar", "aria-hidden": "true"}, ...shown.map(([name, value]) => made("i",
          {style: `width: ${Math.max(0, value) / whole * 100}%; background: ${ink(parts[name][1])}`}))),
        made("dl", {}, ...shown.flatMap(([name, value]) => [
          made("dt", {}, made("i", {style: `background: ${ink(parts[name][1])}`}), parts[name][0]),
          made("dd", {"data-part": name}, ms(value)
            + (item.unsure[name] ? ` \u00b1 ${ms(item.unsure[name])}` : "")),
        ]), made("dt", {}, made("i"), "together"), made("dd", {"data-part": "latency"}, ms(item.latency))));
    }
    const chunk = items(session, "chunks")[item.decided];
    told.push(made("p", {}, `${item.how} `, ...chunk ? [
      made("button", {type: "button", onclick: () => choose({session, kind: "chunks", index: item.decided})},
        `Chunk ${item.decided}`),
      ` was due at ${at(chunk[2])} and sent at ${at(chunk[3])}, ${lateness(chunk)}.`] : []));
    if (item.out) told.push(made("p", {}, `It does not count: ${item.out}.`));
    return told;
  }

  // The window, and what moves it.

  function look(start, end) {
    const most = data.seconds, size = Math.min(most, Math.max(0.05, end - start));
    from = Math.min(Math.max(0, start), most - size);
    to = from + size;
    kept.view = size < most ? [from, to] : undefined;
    draw();
  }
  const zoom = (times, around = (from + to) / 2) =>
    look(around - (around - from) * times, around + (to - around) * times);

  function keyed(event, session, kind) {
    const of = items(session, kind), here = chosen?.session === session && chosen?.kind === kind;
    const first = of.findIndex(item => span(kind, item)[1] >= from);
    const start = here ? chosen.index : event.key === "ArrowLeft" ? first + 1 : first - 1;
    const places = {ArrowRight: start + 1, ArrowLeft: start - 1, Home: 0, End: of.length - 1};
    if (event.key in places && of.length) {
      const index = Math.min(of.length - 1, Math.max(0, places[event.key]));
      choose({session, kind, index});
    } else if (event.key === "Enter" || event.key === " ") {
      if (here) play(span(kind, of[chosen.index])[0]);
    } else if (event.key === "+" || event.key === "=" || event.key === "-") {
      zoom(event.key === "-" ? 2 : 0.5, here ? span(kind, of[chosen.index])[0] : undefined);
    } else if (event.key === "0") look(0, data.seconds);
    else return;
    event.preventDefault();
    event.stopPropagation();  // or the notebook takes it for a command
  }

  function nearest(row, instant, y) {
    let best = null, least = Infinity;
    for (const [session, kind] of row.of) items(session, kind).forEach((item, index) => {
      let distance;
      if (row.trace) distance = Math.abs(item[1] - instant) * scale() + Math.abs(row.y(late(item)) - y) / 4;
      else if (kind === "chunks") distance = Math.abs(item[3] - instant) * scale();
      else {
        const [start, end] = span(kind, item);
        const middle = kind === "words" && item.end !== null ? item.end : end;
        distance = Math.max(0, start - instant, instant - middle) * scale()
          + Math.abs(instant - start) * 1e-3;
      }
      if (distance < least) [least, best] = [distance, {session, kind, index}];
    });
    return least < 40 ? best : null;
  }

  function pointed(row) {
    let pressed = null;
    const instant = event => from + (event.clientX - row.box.getBoundingClientRect().left - LEFT) / scale();
    const height = event => event.clientY - row.box.getBoundingClientRect().top;
    row.box.onpointerdown = event => { pressed = event.button === 0 ? instant(event) : null; };
    row.box.onpointermove = event => {
      const found = nearest(row, instant(event), height(event));
      const item = found && items(found.session, found.kind)[found.index];
      hair.style.left = `${LEFT + x(instant(event))}px`;
      hair.hidden = instant(event) < from || instant(event) > to;
      hint.textContent = hair.hidden ? "" : at(instant(event)) + (item ? ` \u00b7 ${title(found)}: `
        + (found.kind === "chunks" ? lateness(item) : `latency ${ms(item.latency)}`) : "");
    };
    row.box.onpointerleave = () => { hair.hidden = true; hint.textContent = ""; };
    row.box.onpointerup = event => {
      if (pressed === null) return;
      const start = pressed, end = instant(event);
      pressed = null;
      if (Math.abs(end - start) * scale() > 6) return look(Math.min(start, end), Math.max(start, end));
      const found = nearest(row, end, height(event));
      if (found) choose(found);
      if (audio) audio.currentTime = Math.max(0, end) / data.speed;
    };
    row.box.ondblclick = () => look(0, data.seconds);
    row.box.addEventListener("wheel", event => {
      if (!event.ctrlKey && !event.altKey && Math.abs(event.deltaX) <= Math.abs(event.deltaY)) return;
      event.preventDefault();
      if (event.ctrlKey || event.altKey) zoom(event.deltaY > 0 ? 1.25 : 0.8, instant(event));
      else look(from + event.deltaX / scale(), to + event.deltaX / scale());
    }, {passive: false});
  }

  // The rows.
  function row(name, height, label, {of = [], trace = false, paint}) {
    const one = {of, trace, height, paint, label: name, plot: drawn("svg", {x: LEFT, height, overflow: "hidden"})};
    one.outer = drawn("svg", {height, width: "100%", "aria-hidden": "true"}, one.plot);
    one.box = made("div", {class: "rt-row", "data-row": name}, one.outer);
    if (label) for (const [key, value] of Object.entries({tabindex: 0, role: "group", "aria-label": label}))
      one.box.setAttribute(key, value);
    if (of.length) one.box.onkeydown = event => keyed(event, ...of[0]);
    rows.push(one);
    pointed(one);
    return one.box;
  }

  const aside = (y, text) => drawn("text", {x: LEFT - 6, y, "text-anchor": "end"}, text);
  const chose = (session, kind, index) =>
    chosen?.session === session && chosen?.kind === kind && chosen?.index === index;

  function paintTrace(one) {
    const held = sessions.filter(each => each.paced).length ? sessions.filter(each => each.paced) : sessions;
    let high = 10, low = 0;
    for (const each of held) for (const chunk of each.chunks) {
      high = Math.max(high, late(chunk));
      low = Math.min(low, late(chunk));
    }
    one.y = value => 18 + (high - Math.min(high, Math.max(low, value))) / (high - low) * (TRACE - 26);
    const unit = Math.max(high, -low) >= 10000 ? ["s", 1000] : ["ms", 1];
    const marks = steps(low, high, 4);
    one.outer.append(...marks.map(value => aside(one.y(value) + 4, minus(`${value / unit[1]}`))));
    one.plot.append(drawn("text", {x: 4, y: 12}, `lateness, ${unit[0]}`));
    const lines = marks.map(value => drawn("line", {x1: 0, x2: width, y1: one.y(value), y2: one.y(value),
      stroke: "currentColor", "stroke-opacity": value ? 0.15 : 0.5}));
    sessions.forEach((each, session) => {
      const columns = new Map();  // of a pixel, the least and the greatest: no spike is lost
      each.chunks.forEach((chunk, index) => {
        const column = Math.round(x(chunk[1]));
        if (column < -200 || column > width + 200) return;
        const found = columns.get(column) ?? [index, index];
        if (late(chunk) < late(each.chunks[found[0]])) found[0] = index;
        if (late(chunk) > late(each.chunks[found[1]])) found[1] = index;
        columns.set(column, found);
      });
      const kept = [...columns.values()].flatMap(found => [...new Set(found)].sort((a, b) => a - b));
      const place = chunk => [x(chunk[1]), one.y(late(chunk))];
      lines.push(drawn("polyline", {points: kept.map(index => place(each.chunks[index]).join()).join(" "),
        fill: "none", stroke: ink(each.color), "stroke-width": 2, "stroke-dasharray": each.dash}));
      const few = (to - from) * scale() / NEAR / 2 > kept.length;
      kept.forEach(index => {
        const here = chose(session, "chunks", index);
        if (!few && !here && kept.length > 1) return;
        const [cx, cy] = place(each.chunks[index]);
        lines.push(drawn("circle", {cx, cy, r: here ? 5 : 2.5, fill: ink(each.color),
          stroke: here ? "currentColor" : "none", "stroke-width": 2}));
      });
    });
    one.plot.append(...lines);
  }

  function paintWave(one) {
    const size = WAVE / 2, last = wave.high.length - 1;
    const across = i => x(i / last * wave.seconds).toFixed(1);
    const points = [...wave.high.map((v, i) => `${across(i)},${size - v / 100 * size}`),
      ...wave.low.map((v, i) => `${across(i)},${size - v / 100 * size}`).reverse()];
    one.plot.append(drawn("polygon", {fill: "currentColor", "fill-opacity": 0.45, points: points.join(" ")}));
  }

  function paintChunks(one, session) {
    const {chunks, stalls} = sessions[session], color = ink(sessions[session].color);
    let run = null;
    const close = () => run && one.plot.append(drawn("rect", {x: run[0], y: run[0] === run[1] ? 2 : 5,
      width: Math.max(1.5, run[1] - run[0]), height: run[0] === run[1] ? 12 : 6, fill: color}));
    chunks.forEach(([, , , sent], index) => {
      const px = x(sent);
      if (chose(session, "chunks", index)) one.plot.append(
        drawn("rect", {x: px - 3, y: 0, width: 7, height: 16, fill: "none", stroke: "currentColor", "stroke-width": 2}));
      if (px < -50 || px > width + 50) return;
      if (run && px - run[1] < NEAR) run[1] = px;
      else { close(); run = [px, px]; }
    });
    close();
    one.plot.append(...(stalls ?? []).map(([start, end]) => drawn("rect", {x: x(start), y: 1, height: 14,
      width: Math.max(1, (end - start) * scale()), class: "rt-stall"}, drawn("title", {}, `stall, ${ms((end - start) * 1000)}`))));
  }

  function paintWords(one, session) {
    const {words} = sessions[session], color = ink(sessions[session].color);
    words.forEach((word, index) => {
      const [start, end] = [x(word.start ?? word.received), x(word.end ?? word.received)], seen = x(word.received);
      if (Math.max(end, seen) < 0 || start > width) return;
      const here = chose(session, "words", index);
      one.plot.append(
        drawn("rect", {x: start, y: 1, width: Math.max(1, end - start - 1), height: 17, rx: 2,
          class: here ? "rt-chosen" : word.out ? "rt-out" : "rt-word"}),
        drawn("line", {x1: end, x2: seen, y1: 24, y2: 24, stroke: color, "stroke-width": here ? 4 : 2}),
        drawn("circle", {cx: seen, cy: 24, r: here ? 4 : 2.5, fill: color}));
      if (end - start > word.text.length * 6.4 + 2)
        one.plot.append(drawn("text", {x: (start + end) / 2, y: 14, "text-anchor": "middle"}, word.text));
    });
  }

  // What was spoken above, and below it the waits, in two lanes: a final may come within the next turn.
  function paintTurns(one, session) {
    sessions[session].turns.forEach((turn, index) => {
      const [start, end, seen] = [turn.start ?? turn.received, turn.end ?? turn.received, turn.received].map(x);
      if (Math.max(end, seen) < 0 || start > width) return;
      const here = chose(session, "turns", index), y = 21 + 8 * (index % 2), number = `${index + 1}`;
      one.plot.append(drawn("rect", {x: start, y: 2, width: Math.max(1, end - start), height: 16, class: here ? "rt-chosen" : "rt-word"}));
      if (end - start > 8 * number.length + 2)
        one.plot.append(drawn("text", {x: Math.max(0, start) + 3, y: 14.5}, number));
      let place = turn.end;
      for (const [name, value] of Object.entries(turn.parts ?? {})) {
        const next = place + value / 1000, color = ink(parts[name][1]);
        if (value) one.plot.append(drawn("rect", {x: x(Math.min(place, next)), y: value < 0 ? y + 5 : y, height: value < 0 ? 2 : 7,
          width: Math.abs(value) / 1000 * scale(), fill: turn.out ? "none" : color, stroke: turn.out ? color : "none"}));
        place = next;
      }
      one.plot.append(drawn("rect", {x: end, y, width: Math.max(1, seen - end), height: 7, fill: "none",
        stroke: "currentColor", "stroke-opacity": here ? 1 : 0.45, "stroke-width": here ? 2 : 1}));
    });
  }

  function paintAxis(one) {
    for (const value of steps(from, to, Math.max(2, width / 90))) {
      const place = x(value), side = place < 15 ? "start" : place > width - LEFT - RIGHT - 15 ? "end" : "middle";
      one.plot.append(drawn("line", {x1: place, x2: place, y1: 0, y2: 5, stroke: "currentColor"}),
        drawn("text", {x: place, y: 17, "text-anchor": side}, `${value} s`));
    }
  }

  function draw() {
    width = field.clientWidth;
    if (width < LEFT + RIGHT + 20) return;
    const light = getComputedStyle(box).color.match(/[\d.]+/g).slice(0, 3).reduce((sum, one) => sum + Number(one), 0);
    dark = light > 382;  // as light as its text is
    for (const one of rows) {
      one.plot.setAttribute("width", width - LEFT - RIGHT + 6);  // or the last dot would be cut in two
      one.plot.replaceChildren();
      one.outer.replaceChildren(one.plot, aside(one.height / 2 + 4, one.trace ? "" : one.label));
      one.paint(one);
    }
    names.forEach((said, session) => {
      said.previousSibling.style.background = ink(sessions[session].color);
      const last = sessions[session].chunks.at(-1);
      said.textContent = `${sessions[session].name}: ${last ? `last chunk ${lateness(last)}` : "no chunk was sent"}`;
    });
    box.dataset.from = from.toFixed(3);
    box.dataset.to = to.toFixed(3);
    follow();
  }

  // The sound, with a cursor and words that light up as they came.

  const audio = data.audio && (kept.audio ??= made("audio", {controls: "", preload: "auto", src: data.audio, "aria-label": data.title}));
  const cursor = made("div", {class: "rt-cursor", hidden: ""}), hair = made("div", {class: "rt-hair", hidden: ""});
  const lit = [], names = [];
  let next = 0;
  function follow() {
    if (!audio || !audio.currentTime && audio.paused && !("at" in box.dataset)) return;
    const now = audio.currentTime * data.speed;
    box.dataset.at = now.toFixed(2);
    if (!audio.paused && now > to && to < data.seconds - 1e-9) return look(now, now + to - from);
    cursor.hidden = now < from || now > to;
    cursor.style.left = `${LEFT + x(now)}px`;
    for (const [word, one, line] of lit) {
      const state = now < (one.start ?? one.received) ? "" : now < one.received ? "rt-said" : "rt-seen";
      if (word.className === state) continue;
      word.className = state;
      if (state) line.scrollTop = word.offsetTop - line.clientHeight / 2;
    }
    cancelAnimationFrame(next);
    if (!audio.paused && audio.isConnected) next = requestAnimationFrame(follow);
  }
  if (audio) audio.onplay = audio.onseeking = follow;

  const button = (text, label, onclick) => made("button", {type: "button", "aria-label": label, title: label, onclick}, text);
  const hint = made("span", {class: "rt-hint"});
  const detail = made("div", {class: "rt-detail", "aria-live": "polite"},
    made("p", {}, sessions.some(each => each.words?.length) ? "Click a word, a turn or a chunk, or reach it with Tab and the arrows: its parts are shown here." : ""));
  const field = made("div", {class: "rt-rows"}, hair, cursor);
  field.append(row("lateness", TRACE, "", {of: sessions.map((_, session) => [session, "chunks"]), trace: true, paint: paintTrace}));
  if (wave) field.append(row("sound", WAVE, "", {paint: paintWave}));
  const text = made("div", {class: "rt-read"});
  const paints = {chunks: paintChunks, words: paintWords, turns: paintTurns};
  sessions.forEach((each, session) => {
    if (each.name) {
      const said = made("span");
      names.push(said);
      field.append(made("div", {class: "rt-name"}, made("i"), said));
    }
    for (const kind of KINDS) if (each[kind]?.length) field.append(row(kind, HEIGHTS[kind],
      `${kind} of ${each.name || "the recording"}, ${each[kind].length}. ${HELP}.`,
      {of: [[session, kind]], paint: one => paints[kind](one, session)}));
    const line = made("div", {class: "rt-words"}, ...each.name && each.words?.length ? [made("b", {}, `${each.name}: `)] : []);
    (each.words ?? []).forEach((one, index) => {
      const word = made("span", {onclick: () => choose({session, kind: "words", index})}, one.text);
      lit.push([word, one, line]);
      line.append(word, " ");
    });
    if (each.words?.length) text.append(line);
  });
  field.append(row("", AXIS, "", {paint: paintAxis}));
  box.replaceChildren(
    made("div", {class: "rt-tools"}, button("+", "Zoom in", () => zoom(0.5)), button("\u2212", "Zoom out", () => zoom(2)),
      button("All", "Show all of it", () => look(0, data.seconds)), made("span", {}, data.title), hint),
    ...audio ? [audio] : [], field, detail, text);
  const watch = new ResizeObserver(() => field.clientWidth !== width && draw());
  watch.observe(field);
  const again = () => { draw(); if (chosen) tell(); };
  const themes = new MutationObserver(again), scheme = matchMedia("(prefers-color-scheme: dark)");
  themes.observe(document.body, {attributeFilter: ["data-jp-theme-light", "class"]});
  scheme.addEventListener("change", again);
  draw();

  // Data of the same shape, as a running session's, takes the place of what was there.

  const shape = of => JSON.stringify([of.audio ?? "", of.sessions?.map(
    each => [each.name, ...KINDS.map(kind => each[kind] && each[kind].length > 0), each.words?.length])]);
  function update(next) {
    if (shape(next) !== shape(data)) return false;
    const all = to - from >= data.seconds - 1e-9;
    const due = chosen && items(chosen.session, "chunks")[chosen.index]?.[2];
    ({sessions} = data = next);
    if (chosen) chosen.index = sessions[chosen.session].chunks.findIndex(chunk => chunk[2] === due);
    if (chosen?.index < 0) chosen = null;  // a live trace leaves out what is old
    if (all) [from, to] = [0, next.seconds];
    draw();
    return true;
  }
  const end = () => {
    for (const one of [watch, themes]) one.disconnect();
    scheme.removeEventListener("change", again);
  };
  return {update, end};
}
