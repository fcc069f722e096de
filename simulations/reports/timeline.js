"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const W = 1000, PALETTE = ["#7f8da1", "#2f7fd0", "#d0772f", "#3f9e6a", "#a05fc4", "#c9a227"];
const LANES = ["truth", "evidence", "action"];
const x = (s) => (s / data.duration) * W;
const day = (s) => (s / 86400).toFixed(2) + " d";
const charts = document.getElementById("charts");
let now = 0;

function el(name, attributes, parent) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const key in attributes) made.setAttribute(key, attributes[key]);
  if (parent) parent.appendChild(made);
  return made;
}

function chart(title, height, keys) {
  const heading = document.createElement("h2");
  heading.textContent = title;
  for (const [name, color] of keys || []) {
    const pair = document.createElement("span"), key = document.createElement("span");
    pair.className = "pair";
    key.className = "key";
    key.style.background = color;
    pair.append(key, name);
    heading.append(pair);
  }
  charts.append(heading);
  const svg = el("svg", { viewBox: `0 0 ${W} ${height}`, preserveAspectRatio: "none" });
  svg.style.height = height + "px";
  charts.append(svg);
  for (let d = 1; d * 86400 < data.duration; d += 1)
    el("line", { x1: x(d * 86400), x2: x(d * 86400), y1: 0, y2: height,
      stroke: "currentColor", "stroke-opacity": 0.07 }, svg);
  svg.addEventListener("click", (event) => {
    const box = svg.getBoundingClientRect();
    go(((event.clientX - box.left) / box.width) * data.duration);
  });
  return svg;
}

function cursor(svg, height) {
  el("line", { class: "cursor", x1: 0, x2: 0, y1: 0, y2: height, stroke: "currentColor",
    "vector-effect": "non-scaling-stroke" }, svg);
}

function steps(points, value, height, most) {
  const y = (v) => height - 4 - (v / most) * (height - 12);
  let path = "";
  points.forEach((p, i) => {
    const until = i + 1 < points.length ? points[i + 1].at_s : data.duration;
    path += `${i ? "L" : "M"}${x(p.at_s)},${y(value(p))}L${x(until)},${y(value(p))}`;
  });
  return path;
}

function lanes(target) {
  const height = 66, svg = chart(`${target}: truth, evidence, action`, height,
    LANES.map((lane) => [lane, `var(--${lane})`]));
  for (const line of data.lines) {
    if (line.target && line.target !== target) continue;
    const row = LANES.indexOf(line.lane);
    const mark = el("rect", { x: x(line.at_s) - 1, y: 4 + row * 20, width: 3, height: 16,
      fill: `var(--${line.lane})`, "fill-opacity": 0.75 }, svg);
    el("title", {}, mark).textContent = `${day(line.at_s)} ${line.text}`;
  }
  cursor(svg, height);
}

function harm(target, points) {
  const most = Math.max(0.02, ...points.map((p) => p.harm)), height = 110;
  const svg = chart(`${target}: harm per request (up to ${most.toFixed(3)})`, height);
  const line = steps(points, (p) => p.harm, height, most);
  el("path", { d: `${line}L${W},${height}L0,${height}Z`, fill: "var(--bad)",
    "fill-opacity": 0.25, stroke: "var(--bad)", "vector-effect": "non-scaling-stroke" }, svg);
  cursor(svg, height);
}

function traffic(target, points) {
  const versions = [...new Set(points.flatMap((p) => Object.keys(p.split)))]
    .sort((a, b) => Number(a) - Number(b));
  const height = 70, color = (i) => PALETTE[i % PALETTE.length];
  const svg = chart(`${target}: traffic by version`, height,
    versions.map((v, i) => ["v" + v, color(i)]));
  points.forEach((p, n) => {
    const until = n + 1 < points.length ? points[n + 1].at_s : data.duration;
    let top = 0;
    versions.forEach((v, i) => {
      const share = (p.split[v] || 0) / 100;
      if (share) el("rect", { x: x(p.at_s), y: top * height, width: x(until) - x(p.at_s) + 0.3,
        height: share * height, fill: color(i), "fill-opacity": 0.8 }, svg);
      top += share;
    });
  });
  cursor(svg, height);
}

function cumulated() {
  const names = Object.keys(data.harms), height = 130;
  const most = Math.max(1, ...names.flatMap((n) => data.harms[n].map((p) => p[1])));
  const svg = chart(`harm so far, all models (up to ${Math.round(most).toLocaleString()})`,
    height, names.map((n, i) => [n, PALETTE[(i + 1) % PALETTE.length]]));
  names.forEach((n, i) => {
    const path = data.harms[n].map((p, k) =>
      `${k ? "L" : "M"}${x(p[0])},${height - 4 - (p[1] / most) * (height - 12)}`).join("");
    el("path", { d: path, fill: "none", stroke: PALETTE[(i + 1) % PALETTE.length],
      "stroke-width": i ? 1.2 : 2.4, "vector-effect": "non-scaling-stroke" }, svg);
  });
  cursor(svg, height);
}

const list = document.getElementById("steps"), slider = document.getElementById("time");
const items = data.lines.map((line) => {
  const item = document.createElement("li"), time = document.createElement("small");
  const lane = document.createElement("b"), text = document.createElement("span");
  time.textContent = day(line.at_s);
  lane.className = line.lane;
  lane.textContent = `${line.lane} ${line.target} `;
  text.textContent = line.text;
  item.append(time, lane, text);
  item.addEventListener("click", () => go(line.at_s, item));
  list.append(item);
  return item;
});

function at(points, seconds) {
  let found = points[0];
  for (const p of points) if (p.at_s <= seconds) found = p;
  return found;
}

function go(seconds, chosen) {
  now = Math.min(Math.max(seconds, 0), data.duration);
  slider.value = Math.round((now / data.duration) * 1000);
  document.querySelectorAll(".cursor").forEach((line) => {
    line.setAttribute("x1", x(now));
    line.setAttribute("x2", x(now));
  });
  let last = null;
  items.forEach((item, i) => {
    const past = data.lines[i].at_s <= now + 1e-6;
    item.classList.toggle("past", past);
    item.classList.remove("now");
    if (past) last = item;
  });
  last = chosen || last;
  if (last) {
    last.classList.add("now");
    list.scrollTop = last.offsetTop - list.offsetTop - list.clientHeight / 2;
  }
  const told = Object.entries(data.targets).map(([name, points]) => {
    const p = at(points, now), split = Object.entries(p.split)
      .map(([v, share]) => `v${v} ${share} %`).join(", ");
    return `${name}: ${split}; harm ${p.harm.toFixed(4)}, errors ${(100 * p.errors).toFixed(2)} %, ` +
      `slow ${(100 * p.slow).toFixed(2)} %`;
  });
  document.getElementById("now").textContent = `day ${day(now)}. ${told.join(". ")}`;
}

function move(by) {
  const index = items.findIndex((item) => item.classList.contains("now"));
  const next = Math.min(Math.max(index + by, 0), items.length - 1);
  if (items[next]) go(data.lines[next].at_s, items[next]);
}

cumulated();
for (const [target, points] of Object.entries(data.targets)) {
  if (!points.length) continue;
  lanes(target);
  harm(target, points);
  traffic(target, points);
}
slider.addEventListener("input", () => go((slider.value / 1000) * data.duration));
document.getElementById("back").addEventListener("click", () => move(-1));
document.getElementById("on").addEventListener("click", () => move(1));
document.addEventListener("keydown", (event) => {
  if (event.target === slider) return;
  if (event.key === "ArrowLeft") move(-1);
  if (event.key === "ArrowRight") move(1);
});
go(0);
